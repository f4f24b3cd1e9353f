//! Which operations the search runs on: what the processor has, found out once.

use super::portable::Portable;
use super::{Candidate, search};

#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};

#[cfg(target_arch = "aarch64")]
use super::neon::Neon;

/// A set of vector operations that this processor has. All find the same.
#[derive(Clone, Copy, Debug)]
pub struct Backend(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

impl Backend {
    /// The one that needs nothing of the processor.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// The fastest. The processor is asked the first time only.
    #[inline]
    pub fn best() -> Self {
        Self::vectors().into_iter().flatten().next().unwrap_or(Self::PORTABLE)
    }

    /// All that this processor has, the fastest first.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::vectors().into_iter().flatten().chain([Self::PORTABLE])
    }

    /// The name, for people: `avx512`, `avx2`, `neon` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => "neon",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn vectors() -> [Option<Self>; 2] {
        let avx512 = || Avx512::detect().map(Kind::Avx512);
        let avx2 = || Avx2::detect().map(Kind::Avx2);
        [avx512().map(Self), avx2().map(Self)]
    }

    #[cfg(target_arch = "aarch64")]
    fn vectors() -> [Option<Self>; 1] {
        [Some(Self(Kind::Neon(Neon::new())))]
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn vectors() -> [Option<Self>; 0] {
        []
    }

    #[inline]
    pub(super) fn search<const FULL: bool>(self, text: &[u8], found: &mut dyn FnMut(Candidate)) {
        match self.0 {
            Kind::Portable => search::<Portable, FULL>(Portable, text, found),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(avx2) => avx2.search::<FULL>(text, found),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(avx512) => avx512.search::<FULL>(text, found),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(neon) => search::<Neon, FULL>(neon, text, found),
        }
    }
}
