//! Members of a zip archive (PKWARE's APPNOTE), as they come: each a content of its own. Office documents are such
//! archives, of XML.
//!
//! *Limits*: members that are encrypted, or packed with anything but deflate, are not read.

use memchr::memmem;

use crate::borders::Source;
use crate::content::Content;
use crate::encoding::Coding;
use crate::judged::Verdict;
use crate::layer::Layer;
use crate::outlet::Outlet;
use crate::parser::{Judge, Parser, Scene};
use crate::token::{Encoding, Mode, Value};
use crate::window::{Decoding, Part};

const MEMBER: &[u8] = b"PK\x03\x04";
const DIRECTORY: &[u8] = b"PK\x01\x02";

/// Bytes of a member's head before its name.
const HEAD_BYTES: usize = 30;

/// How far behind a member of unknown length the next head is searched for: a descriptor of the largest kind.
const DESCRIPTOR_BYTES_MAX: usize = 24;

/// See the module.
#[derive(Default)]
pub(crate) struct Zip {
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Head,
    Member(Member),
    /// The directory, and what is behind it.
    Directory,
    /// Something else.
    Over,
}

struct Member {
    data: Data,
    /// Packed bytes to come, if that is known.
    left: Option<u64>,
}

enum Data {
    Packed(Box<Layer>),
    Stored(Box<Content>),
    /// Encrypted, or packed with something unknown.
    Unread,
}

impl Zip {
    /// Reads on; returns where the first thing begins that is not handed on for good.
    pub(crate) fn run(
        &mut self,
        scene: &Scene<'_>,
        judge: &mut Judge<'_>,
        outlet: &mut Outlet<'_, '_>,
    ) -> usize {
        let mut at = scene.from;
        while at < scene.buf.len() {
            let next = match &mut self.state {
                State::Head => self.head(scene, at, outlet),
                State::Member(_) => Some(self.member(scene, at, outlet)),
                State::Directory | State::Over => Some((scene.buf.len(), self.rest())),
            };
            let Some((end, verdict)) = next else { break };
            judge(end, verdict);
            at = end;
        }
        self.follow(scene.mode, outlet);
        at
    }

    fn rest(&self) -> Verdict {
        if matches!(self.state, State::Directory) { Verdict::Read } else { Verdict::Unsaid }
    }

    fn follow(&mut self, mode: Mode, outlet: &mut Outlet<'_, '_>) {
        match &mut self.state {
            State::Member(Member { data: Data::Packed(layer), .. }) => layer.follow(mode, outlet),
            State::Member(Member { data: Data::Stored(content), .. }) => content.follow(mode, outlet),
            _ => {}
        }
    }

    /// Reads the head of the next member; `None` while it is cut.
    fn head(
        &mut self,
        scene: &Scene<'_>,
        at: usize,
        outlet: &mut Outlet<'_, '_>,
    ) -> Option<(usize, Verdict)> {
        let bytes = &scene.buf[at..];
        let is_whole = scene.mode == Mode::End;
        if bytes.len() < HEAD_BYTES && !is_whole {
            return None;
        }
        let near = &bytes[..bytes.len().min(DESCRIPTOR_BYTES_MAX + MEMBER.len())];
        if let Some(skipped) = memmem::find(near, MEMBER) {
            return match Head::parse(&bytes[skipped..]) {
                Some(head) => {
                    Some((at + skipped + self.enter(&head, scene, at + skipped, outlet), Verdict::Read))
                }
                None if is_whole => Some(self.end(State::Over, scene)),
                None => None,
            };
        }
        let is_directory = memmem::find(near, DIRECTORY).is_some();
        Some(self.end(if is_directory { State::Directory } else { State::Over }, scene))
    }

    fn end(&mut self, state: State, scene: &Scene<'_>) -> (usize, Verdict) {
        self.state = state;
        (scene.buf.len(), self.rest())
    }

    /// Shows a member's name and turns to its data; returns the length of its head.
    fn enter(&mut self, head: &Head<'_>, scene: &Scene<'_>, at: usize, outlet: &mut Outlet<'_, '_>) -> usize {
        let name = Value::whole(Part::Filename, head.name, at + HEAD_BYTES).encoded(Encoding::Url);
        let source = (scene.source)(name.at.clone());
        name.show_in(&scene.frame, source, outlet);
        self.state = State::Member(Member { data: head.data(scene), left: head.packed_bytes });
        head.len
    }

    /// Hands on data of a member; returns where that ends, and what it is.
    fn member(&mut self, scene: &Scene<'_>, at: usize, outlet: &mut Outlet<'_, '_>) -> (usize, Verdict) {
        let State::Member(member) = &mut self.state else { return (scene.buf.len(), Verdict::Unsaid) };
        let there = (scene.buf.len() - at) as u64;
        let end = at + member.left.map_or(there, |left| left.min(there)) as usize;
        let (read, is_over, verdict) = member.data.take(&scene.part(at..end), outlet);
        let end = if member.left.is_some() { end } else { read };
        member.left = member.left.map(|left| left - (end - at) as u64);
        if member.left == Some(0) || (member.left.is_none() && is_over) {
            self.follow(Mode::End, outlet);
            self.state = State::Head;
        }
        (end, verdict)
    }

    /// Bytes held within.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.state {
            State::Member(Member { data: Data::Packed(layer), .. }) => layer.held_bytes(),
            State::Member(Member { data: Data::Stored(content), .. }) => content.held_bytes(),
            _ => 0,
        }
    }
}

impl Data {
    /// Takes the bytes of a scene; returns where what was taken ends, whether all is there, and what the bytes are.
    fn take(&mut self, scene: &Scene<'_>, outlet: &mut Outlet<'_, '_>) -> (usize, bool, Verdict) {
        match self {
            Self::Packed(layer) => {
                let read = scene.from + layer.decode(scene, outlet);
                (read, layer.is_over(), layer.verdict().unwrap_or(Verdict::Read))
            }
            Self::Stored(content) => {
                let range = scene.from..scene.buf.len();
                let source = Source::of((scene.source)(range.clone()), range.len());
                content.feed(&scene.buf[range], source, outlet);
                (scene.buf.len(), false, Verdict::Unsaid)
            }
            Self::Unread => (scene.buf.len(), false, Verdict::Unsaid),
        }
    }
}

/// The head of a member (section 4.3.7).
struct Head<'a> {
    name: &'a [u8],
    len: usize,
    method: u16,
    is_encrypted: bool,
    packed_bytes: Option<u64>,
}

impl<'a> Head<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        const DEFERRED: u16 = 1 << 3;
        let short = |at: usize| Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let long = |at: usize| Some(u32::from(short(at)?) | u32::from(short(at + 2)?) << 16);
        let (flags, packed) = (short(6)?, long(18)?);
        let (name_len, extra_len) = (usize::from(short(26)?), usize::from(short(28)?));
        let is_known = flags & DEFERRED == 0 && packed != u32::MAX;
        let len = HEAD_BYTES + name_len + extra_len;
        Some(Self {
            name: bytes.get(..len)?.get(HEAD_BYTES..HEAD_BYTES + name_len)?,
            len,
            method: short(8)?,
            is_encrypted: flags & 1 != 0,
            packed_bytes: is_known.then_some(packed.into()),
        })
    }

    fn data(&self, scene: &Scene<'_>) -> Data {
        const STORED: u16 = 0;
        const DEFLATED: u16 = 8;
        let frame = &scene.frame;
        let Some(trail) = frame.trail.with(Decoding::Zip).deeper() else { return Data::Unread };
        let content = |trail| Content::within(frame.part, frame.field, Parser::undecided(None), trail);
        match self.method {
            _ if self.is_encrypted => Data::Unread,
            STORED => Data::Stored(Box::new(content(trail))),
            DEFLATED => {
                let child = content(trail.with(Decoding::Deflate));
                Data::Packed(Box::new(Layer::new(Coding::Inflate, child)))
            }
            _ => Data::Unread,
        }
    }
}
