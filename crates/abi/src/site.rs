//! What a probe site tells its program: the attach cookie.

/// Sites that can be probed on a kernel that hands a probe no attach cookie (before 5.15): each takes a program.
pub const SITES_MAX: u32 = 128;

/// Where a TLS library keeps the client random, and which function was probed.
///
/// Packed into the 64-bit attach cookie of a uprobe, so that one program serves every library.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Site {
    /// Number of the attachment, unique while the agent runs.
    pub attachment: u16,
    /// The function.
    pub function: Function,
    /// Whether the site is where the function returns, not where it begins.
    pub returns: bool,
    /// What says whether the session is a server's, if it is known.
    pub server: Option<RoleWord>,
    /// OpenSSL: offset in the session object of a pointer to follow to the random. GnuTLS: offset of the word that
    /// says whether the session is corked. Or [`Site::NONE`].
    pub via: u16,
    /// Offset of the random, or [`Site::NONE`]; Go keeps none, it is taken from the hello as it is written.
    pub random: u16,
}

/// Where a session says which end it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoleWord {
    /// Offset of the word, in units of 4 bytes and below [`RoleWord::WORD_MAX`].
    pub word: u8,
    /// Only its lowest bit says it: BoringSSL keeps other things beside.
    pub one_bit: bool,
}

impl RoleWord {
    /// Words are below this.
    pub const WORD_MAX: u8 = 127;
    const ONE_BIT: u8 = 0x80;
}

/// A probed function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Function {
    /// `SSL_write(SSL *, const void *, int)`.
    SslWrite = 1,
    /// `SSL_write_ex(SSL *, const void *, size_t, size_t *)`.
    SslWriteEx = 2,
    /// `SSL_write_ex2(SSL *, const void *, size_t, uint64_t, size_t *)`, OpenSSL 3.3 and later.
    SslWriteEx2 = 3,
    /// `SSL_write_early_data(SSL *, const void *, size_t, size_t *)`.
    SslWriteEarlyData = 4,
    /// `gnutls_record_send(session, const void *, size_t)`.
    GnutlsSend = 5,
    /// `gnutls_record_send2(session, const void *, size_t, size_t, unsigned)`, 3.6.3 and later.
    GnutlsSend2 = 6,
    /// `gnutls_record_send_range(session, const void *, size_t, const gnutls_range_st *)`.
    GnutlsSendRange = 7,
    /// `gnutls_record_send_early_data(session, const void *, size_t)`.
    GnutlsSendEarlyData = 8,
    /// NSS: `ssl_SecureSend(sslSocket *, const unsigned char *, int, int)`.
    NssSecureSend = 9,
    /// Go: `func (c *Conn) writeRecordLocked(typ recordType, data []byte) (int, error)`, arguments in registers.
    GoWriteRecord = 10,
    /// `SSL_sendfile(SSL *, int, off_t, size_t, int)`, OpenSSL 3.0 and later, for sessions whose records the kernel
    /// makes.
    SslSendfile = 11,
    /// `SSL_read(SSL *, void *, int)`.
    SslRead = 12,
    /// `SSL_read_ex(SSL *, void *, size_t, size_t *)`.
    SslReadEx = 13,
    /// `gnutls_record_recv(session, void *, size_t)`.
    GnutlsRecv = 14,
    /// NSPR: `PR_Write(PRFileDesc *, const void *, PRInt32)`, of descriptors that NSS encrypts; as the next two where
    /// [`Function::NssSecureSend`] is not found.
    PrWrite = 15,
    /// NSPR: `PR_Send(PRFileDesc *, const void *, PRInt32, PRIntn, PRIntervalTime)`.
    PrSend = 16,
    /// NSPR: `PR_Writev(PRFileDesc *, const PRIOVec *, PRInt32, PRIntervalTime)`.
    PrWritev = 17,
}

impl Function {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::SslWrite,
        Self::SslWriteEx,
        Self::SslWriteEx2,
        Self::SslWriteEarlyData,
        Self::GnutlsSend,
        Self::GnutlsSend2,
        Self::GnutlsSendRange,
        Self::GnutlsSendEarlyData,
        Self::NssSecureSend,
        Self::GoWriteRecord,
        Self::SslSendfile,
        Self::SslRead,
        Self::SslReadEx,
        Self::GnutlsRecv,
        Self::PrWrite,
        Self::PrSend,
        Self::PrWritev,
    ];

    /// The function with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1..=17 => Some(Self::ALL[number as usize - 1]),
            _ => None,
        }
    }

    /// Its symbol.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::SslWrite => "SSL_write",
            Self::SslWriteEx => "SSL_write_ex",
            Self::SslWriteEx2 => "SSL_write_ex2",
            Self::SslWriteEarlyData => "SSL_write_early_data",
            Self::GnutlsSend => "gnutls_record_send",
            Self::GnutlsSend2 => "gnutls_record_send2",
            Self::GnutlsSendRange => "gnutls_record_send_range",
            Self::GnutlsSendEarlyData => "gnutls_record_send_early_data",
            Self::NssSecureSend => "ssl_SecureSend",
            Self::GoWriteRecord => "crypto/tls.(*Conn).writeRecordLocked",
            Self::SslSendfile => "SSL_sendfile",
            Self::SslRead => "SSL_read",
            Self::SslReadEx => "SSL_read_ex",
            Self::GnutlsRecv => "gnutls_record_recv",
            Self::PrWrite => "PR_Write",
            Self::PrSend => "PR_Send",
            Self::PrWritev => "PR_Writev",
        }
    }

    /// Whether the function with this number is GnuTLS's.
    #[must_use]
    pub const fn is_gnutls(number: u32) -> bool {
        number >= Self::GnutlsSend as u32 && number <= Self::GnutlsSendEarlyData as u32
            || number == Self::GnutlsRecv as u32
    }

    /// Whether the function with this number is Go's, whose calls say in what kind of TLS record the bytes leave.
    #[must_use]
    pub const fn is_go(number: u32) -> bool {
        number == Self::GoWriteRecord as u32
    }

    /// Whether the function with this number reads: it is probed where it begins and where it returns.
    #[must_use]
    pub const fn reads(number: u32) -> bool {
        number >= Self::SslRead as u32 && number <= Self::GnutlsRecv as u32
    }

    /// Whether the function with this number is given a part of a file instead of bytes: descriptor, offset, length.
    #[must_use]
    pub const fn sends_file(number: u32) -> bool {
        number == Self::SslSendfile as u32
    }

    /// Whether the function with this number is NSPR's: it is given a descriptor, which may be a session's or anything
    /// else that can be written to.
    #[must_use]
    pub const fn takes_descriptor(number: u32) -> bool {
        number >= Self::PrWrite as u32 && number <= Self::PrWritev as u32
    }

    /// Whether the function with this number is given a list of buffers, and how many.
    #[must_use]
    pub const fn gathers(number: u32) -> bool {
        number == Self::PrWritev as u32
    }

    /// Whether the function with this number takes its length as an `int`: the rest of the register is not defined.
    #[must_use]
    pub const fn takes_int(number: u32) -> bool {
        number == Self::SslWrite as u32
            || number == Self::NssSecureSend as u32
            || Self::takes_descriptor(number)
    }

    /// Whether the function with this number sends one record at most, and leaves the rest of a longer buffer to
    /// the next call; and keeps what it is given while its session is corked.
    #[must_use]
    pub const fn sends_one_record(number: u32) -> bool {
        number == Self::GnutlsSend as u32 || number == Self::GnutlsSend2 as u32
    }
}

impl Site {
    /// The place is not known, or there is none.
    pub const NONE: u16 = u16::MAX;
    const RETURNS: u64 = 1 << 47;
    /// The part of a cookie that says where a session keeps things.
    const PLACES: u64 = (1 << 40) - 1;
    const FUNCTION: u32 = 0x7f;

    /// The attach cookie.
    #[must_use]
    pub const fn pack(self) -> u64 {
        let server = match self.server {
            Some(RoleWord { word, one_bit }) if word < RoleWord::WORD_MAX => {
                (word + 1) | if one_bit { RoleWord::ONE_BIT } else { 0 }
            }
            _ => 0,
        };
        (self.attachment as u64) << 48
            | if self.returns { Self::RETURNS } else { 0 }
            | (self.function as u64) << 40
            | (server as u64) << 32
            | (self.via as u64) << 16
            | self.random as u64
    }

    /// What a cookie says of where a session keeps things; never zero, since a session has its random somewhere or the
    /// place is [`Site::NONE`].
    #[must_use]
    pub const fn places_of(cookie: u64) -> u64 {
        cookie & Self::PLACES
    }

    /// A cookie with the places of another one.
    #[must_use]
    pub const fn with_places(cookie: u64, places: u64) -> u64 {
        cookie & !Self::PLACES | places
    }

    /// Number of the attachment in a cookie.
    #[must_use]
    pub const fn attachment_of(cookie: u64) -> u32 {
        (cookie >> 48) as u32
    }

    /// Number of the function in a cookie.
    #[must_use]
    pub const fn function_of(cookie: u64) -> u32 {
        (cookie >> 40) as u32 & Self::FUNCTION
    }

    /// Whether a cookie is of a site where the function returns.
    #[must_use]
    pub const fn returns(cookie: u64) -> bool {
        cookie & Self::RETURNS != 0
    }

    /// Offset of the word that tells a session's role in a cookie, in bytes, if it is known.
    #[must_use]
    pub const fn server_of(cookie: u64) -> Option<u32> {
        match (cookie >> 32) as u32 & (RoleWord::ONE_BIT as u32 - 1) {
            0 => None,
            word => Some((word - 1) * 4),
        }
    }

    /// Whether only the lowest bit of that word tells it.
    #[must_use]
    pub const fn is_one_bit(cookie: u64) -> bool {
        (cookie >> 32) as u8 & RoleWord::ONE_BIT != 0
    }

    /// Offset of the pointer, or of the word that says whether the session is corked, in a cookie.
    #[must_use]
    pub const fn via_of(cookie: u64) -> u16 {
        (cookie >> 16) as u16
    }

    /// Offset of the random in a cookie.
    #[must_use]
    pub const fn random_of(cookie: u64) -> u16 {
        cookie as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_cookie_survives_packing() {
        for (word, bytes) in
            [(None, None), (Some(0), Some(0)), (Some(0x0e), Some(0x38)), (Some(126), Some(504))]
        {
            let one_bit = word == Some(0x0e);
            let server = word.map(|word| RoleWord { word, one_bit });
            let function = Function::GnutlsSend2;
            let returns = word == Some(0);
            let site = Site { attachment: 0xfffe, function, returns, server, via: 0xa8, random: 0x1234 };
            let cookie = site.pack();
            assert_eq!(Site::returns(cookie), returns);
            assert_eq!(Site::attachment_of(cookie), 0xfffe);
            assert_eq!(Function::from_number(Site::function_of(cookie)), Some(function));
            assert_eq!((Site::server_of(cookie), Site::is_one_bit(cookie)), (bytes, one_bit));
            assert_eq!(Site::via_of(cookie), 0xa8);
            assert_eq!(Site::random_of(cookie), 0x1234);
            let other = Site {
                attachment: 7,
                function: Function::PrSend,
                returns: false,
                server: None,
                via: 1,
                random: 2,
            };
            let taken = Site::with_places(other.pack(), Site::places_of(cookie));
            assert_eq!(
                Site { attachment: 7, function: Function::PrSend, returns: false, ..site }.pack(),
                taken
            );
        }
    }

    #[test]
    fn a_function_is_found_by_its_number() {
        for function in Function::ALL {
            assert_eq!(Function::from_number(function as u32), Some(function));
            assert_eq!(Function::is_gnutls(function as u32), function.symbol().starts_with("gnutls"));
            assert_eq!(Function::is_go(function as u32), function.symbol().starts_with("crypto/tls."));
            let reads = ["_read", "_recv"].iter().any(|it| function.symbol().contains(it));
            assert_eq!(Function::reads(function as u32), reads);
            assert_eq!(Function::takes_descriptor(function as u32), function.symbol().starts_with("PR_"));
            assert_eq!(Function::gathers(function as u32), function.symbol().ends_with("_Writev"));
        }
        assert_eq!(Function::from_number(0), None);
        assert_eq!(Function::from_number(18), None);
    }
}
