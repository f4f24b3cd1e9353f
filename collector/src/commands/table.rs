//! Columns of text, as wide as they need to be.

use std::io::{self, Write};

/// A table with `N` columns.
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with these headings.
    pub(super) fn new(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned)] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// Writes it, two spaces between columns and none at the end of a line.
    ///
    /// # Errors
    /// The output is closed or broken.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
        for row in &self.rows {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            let line: Vec<String> = cells.collect();
            writeln!(out, "{}", line.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["a", "bb", "c"]);
        table.row(["søer", "1", ""].map(str::to_owned));
        let mut out = vec![];
        table.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a     bb  c\nsøer  1\n");
    }
}
