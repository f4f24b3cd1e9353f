//! Objects as JSON lines: one object a line, flushed at once.

use std::io::{self, Write};

use serde::Serialize;

use crate::{Explained, Leak, Ledger};

impl Leak {
    /// Writes the object as one line of JSON and flushes it.
    ///
    /// # Errors
    /// The output is closed or broken.
    pub fn write_line(&self, out: &mut impl Write) -> io::Result<()> {
        write_line(self, out)
    }
}

impl Explained<'_> {
    /// Writes the object as one line of JSON and flushes it.
    ///
    /// # Errors
    /// The output is closed or broken.
    pub fn write_line(&self, out: &mut impl Write) -> io::Result<()> {
        write_line(self, out)
    }
}

impl Ledger {
    /// Writes the object as one line of JSON and flushes it.
    ///
    /// # Errors
    /// The output is closed or broken.
    pub fn write_line(&self, out: &mut impl Write) -> io::Result<()> {
        write_line(self, out)
    }
}

fn write_line(object: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    let mut line = serde_json::to_vec(object)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use crate::{Ledger, Moment};

    #[test]
    fn an_object_is_one_line_that_ends() {
        let mut out = Vec::new();
        Ledger::opened(Moment::now()).write_line(&mut out).expect("memory takes it");
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!((out.first(), out.last()), (Some(&b'{'), Some(&b'\n')));
    }
}
