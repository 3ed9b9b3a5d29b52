//! Offsets to lines and columns.

/// A line and a column, both counted from 1; the column counts bytes, as Nix does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The byte in the line.
    pub column: u32,
}

/// Where the lines of a text begin. A line ends in LF, CR LF or a lone CR.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<u32>,
}

impl LineIndex {
    /// Reads the text once.
    pub fn new(source: &[u8]) -> Self {
        let mut starts = vec![0];
        for at in memchr::memchr2_iter(b'\n', b'\r', source) {
            let before_lf = source[at] == b'\r' && source.get(at + 1) == Some(&b'\n');
            if !before_lf {
                starts.push(at as u32 + 1);
            }
        }
        LineIndex { starts }
    }

    /// The position of an offset.
    pub fn position(&self, offset: u32) -> Position {
        let line = self.starts.partition_point(|start| *start <= offset);
        Position { line: line as u32, column: offset - self.starts[line - 1] + 1 }
    }
}
