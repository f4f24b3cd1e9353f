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
    /// Offset of the word that says whether the session is a server's, in units of 4 bytes; 0 when
    /// not known.
    pub server: u8,
    /// Offset in the session object of a pointer to follow first, or [`Site::DIRECT`].
    pub via: u16,
    /// Offset of the random, or [`Site::UNKNOWN`].
    pub random: u16,
}

/// A probed function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Function {
    /// `SSL_write(SSL *, const void *, int)`.
    SslWrite = 1,
    /// `SSL_write_ex(SSL *, const void *, size_t, size_t *)`.
    SslWriteEx = 2,
}

impl Function {
    /// The function with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::SslWrite),
            2 => Some(Self::SslWriteEx),
            _ => None,
        }
    }
}

impl Site {
    /// No pointer to follow: the random lies in the session object itself.
    pub const DIRECT: u16 = u16::MAX;
    /// Nobody knows where the random lies.
    pub const UNKNOWN: u16 = u16::MAX;

    /// The attach cookie.
    #[must_use]
    pub const fn pack(self) -> u64 {
        (self.attachment as u64) << 48
            | (self.function as u64) << 40
            | (self.server as u64) << 32
            | (self.via as u64) << 16
            | self.random as u64
    }

    /// Number of the attachment in a cookie.
    #[must_use]
    pub const fn attachment_of(cookie: u64) -> u32 {
        (cookie >> 48) as u32
    }

    /// Number of the function in a cookie.
    #[must_use]
    pub const fn function_of(cookie: u64) -> u32 {
        (cookie >> 40) as u32 & 0xff
    }

    /// Offset of the server word in a cookie, in bytes; 0 when not known.
    #[must_use]
    pub const fn server_of(cookie: u64) -> u32 {
        ((cookie >> 32) as u32 & 0xff) * 4
    }

    /// Offset of the pointer in a cookie.
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
        let site = Site {
            attachment: 0xfffe,
            function: Function::SslWriteEx,
            server: 0x0e,
            via: 0xa8,
            random: 0x1234,
        };
        let cookie = site.pack();
        assert_eq!(Site::attachment_of(cookie), 0xfffe);
        assert_eq!(Function::from_number(Site::function_of(cookie)), Some(Function::SslWriteEx));
        assert_eq!(Site::server_of(cookie), 0x38);
        assert_eq!(Site::via_of(cookie), 0xa8);
        assert_eq!(Site::random_of(cookie), 0x1234);
    }
}
