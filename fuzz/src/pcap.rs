//! Capture files: framing, links and headers.

use cprvagt_pcap::read;

/// A capture is read the same however its bytes come, packets are numbered, and a segment is a part of its packet.
pub fn pcap_read(bytes: &[u8]) {
    let (ended, packets) = all(bytes);
    let (again, slowly) = all(Dripping(bytes));
    // What a file begins with must come at once.
    if again.is_some() {
        assert_eq!((ended, packets), (again, slowly));
    }
}

/// Whether it came to its end, if it could be read, and of each packet what its segment says.
fn all(input: impl std::io::Read + Send) -> (Option<bool>, Vec<String>) {
    let (mut packets, mut last) = (Vec::new(), 0);
    let ended = read(input, &mut |packet| {
        // Packets of an interface that the file does not describe are counted and not handed over.
        assert!(packet.number > last);
        last = packet.number;
        let segment = packet.segment();
        if let Ok(segment) = &segment {
            assert!(segment.wire_len as usize >= segment.payload.len());
        }
        packets.push(format!("{segment:?}"));
    });
    (ended.ok(), packets)
}

/// Hands over the head of a file and then a few bytes at a time.
struct Dripping<'a>(&'a [u8]);

impl std::io::Read for Dripping<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let step = if self.0.len().is_multiple_of(2) { 512 } else { 61 };
        let count = step.min(into.len()).min(self.0.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}
