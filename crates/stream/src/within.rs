//! Values that are texts of their own: escapes that are still there once those of the syntax are undone.
//!
//! *Limits*: [`crate::trail::DEPTH_MAX`] texts in each other, and what [`crate::outlet::Meter`] allows; what lies deeper
//! is shown as it stands.

use crate::escape;
use crate::outlet::Outlet;
use crate::plain::Plain;
use crate::token::Spot;
use crate::trail::Trail;
use crate::window::Decoding;

/// Shortest value that is looked into: a shorter one cannot hold a number.
const LOOK_BYTES_MIN: usize = 10;

/// Hands out what lies within a value that was shown as `bytes`.
pub(crate) fn look(bytes: &[u8], spot: &Spot<'_>, trail: &Trail, outlet: &mut Outlet<'_, '_>) {
    if bytes.len() < LOOK_BYTES_MIN {
        return;
    }
    let undone = escape::percent(bytes, false).map(|(plain, _)| (plain, Decoding::Percent));
    let Some((plain, decoding)) = undone else { return };
    show(&plain, decoding, spot, trail, outlet);
}

/// Hands out what a value reads as behind a decoding, and what lies within that.
fn show(plain: &Plain, decoding: Decoding, spot: &Spot<'_>, trail: &Trail, outlet: &mut Outlet<'_, '_>) {
    let Some(trail) = trail.with(decoding).deeper().filter(|_| outlet.meter.make(plain.len())) else {
        return;
    };
    spot.show(plain.as_slice(), 0..plain.len(), &trail, outlet);
    look(plain.as_slice(), spot, &trail, outlet);
}
