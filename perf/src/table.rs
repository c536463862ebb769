//! Tables for people: Markdown that is aligned, so that a terminal shows it as well; and HTML.

use crate::svg::escape;

/// A table; the first column is text, the others are figures.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![head.into_iter().map(Into::into).collect()] }
    }

    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    pub fn markdown(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            for (column, &width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                let padding = " ".repeat(width - cell.chars().count());
                let padded = if column == 0 {
                    format!("| {cell}{padding} ")
                } else {
                    format!("| {padding}{cell} ")
                };
                out.push_str(&padded);
            }
            out.push_str("|\n");
            if index == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    out.push_str("|-");
                    out.push_str(&"-".repeat(width));
                    out.push(if column == 0 { '-' } else { ':' });
                }
                out.push_str("|\n");
            }
        }
        out
    }

    pub fn html(&self) -> String {
        let mut out = String::from("<table>");
        for (index, row) in self.rows.iter().enumerate() {
            let tag = if index == 0 { "th" } else { "td" };
            out.push_str("<tr>");
            for cell in row {
                out.extend(["<", tag, ">", &escape(cell), "</", tag, ">"]);
            }
            out.push_str("</tr>");
        }
        out.push_str("</table>");
        out
    }
}

/// The middle of the values, the mean of the two middle ones of an even number; None of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let mut table = Table::new(["server", "ns"]);
        table.row(["é", "1234"]);
        assert_eq!(table.markdown(), "| server |   ns |\n|--------|-----:|\n| é      | 1234 |\n");
        assert_eq!(
            table.html(),
            "<table><tr><th>server</th><th>ns</th></tr><tr><td>é</td><td>1234</td></tr></table>"
        );
    }

    #[test]
    fn medians() {
        for (values, expected) in [
            (&[][..], None),
            (&[3.0][..], Some(3.0)),
            (&[9.0, 1.0, 2.0][..], Some(2.0)),
            (&[4.0, 1.0][..], Some(2.5)),
        ] {
            assert_eq!(median(values), expected);
        }
    }
}
