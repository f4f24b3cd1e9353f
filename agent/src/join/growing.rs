//! How much Go puts into the records of a connection: little at first, so that the peer can read them as they come, and
//! more with each record (crypto/tls, `maxPayloadSizeForWrite`).
//!
//! A block cipher hides the length of a record's plaintext; what Go would have put in says it. Other ciphers do not need
//! this.

use cprvagt_stream::tls::PlainLen;

use super::tls_flow::FRAGMENT_MAX;

/// What Go takes for the payload of a packet, less a record's header.
const PACKET: usize = 1208 - 5;

/// Most plaintext of the `count`-th record of data (from 1), which is `record_len` bytes long; `None` where its cipher is
/// no block cipher, or it is too short to tell.
pub fn most_of(count: u64, record_len: u32, plain: PlainLen) -> Option<u64> {
    let PlainLen::Range { min, max } = plain else { return None };
    let block = Some(max - min + 1).filter(|block| matches!(block, 8 | 16))?;
    // Behind the vector come plaintext, MAC, and at least a byte of padding.
    let mac = (record_len as usize).checked_sub(block + 1 + max)?;
    let first = (((PACKET - block) & !(block - 1)) - 1).checked_sub(mac)?;
    Some((first as u64).saturating_mul(count).min(FRAGMENT_MAX))
}

#[cfg(test)]
mod tests {
    use cprvagt_stream::tls::plain_len;

    use super::*;

    const TLS_1_2: u16 = 0x0303;

    #[test]
    fn first_records_grow() {
        // AES-128 with SHA-1 and with SHA-256, triple DES with SHA-1.
        for (cipher, record, first) in [(0xC009, 1200, 1163), (0xC023, 1200, 1151), (0x000A, 1200, 1171)] {
            let plain = plain_len(TLS_1_2, cipher, record);
            let most = |count| most_of(count, record as u32, plain).unwrap();
            assert_eq!([most(1), most(2), most(13), most(16)], [first, 2 * first, 13 * first, 16_384]);
        }
    }

    #[test]
    fn where_it_is_not_needed_or_not_known_there_is_none() {
        // GCM tells the length; a record of one block hides how long a block is.
        assert_eq!(most_of(1, 1200, plain_len(TLS_1_2, 0xC02B, 1200)), None);
        assert_eq!(most_of(1, 48, plain_len(TLS_1_2, 0xC009, 48)), None);
        assert_eq!(most_of(1, 5, PlainLen::Range { min: 0, max: 15 }), None);
    }
}
