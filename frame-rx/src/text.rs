//! Words in the window without a font library: printable ASCII in 5 by 8 dots, drawn for this program, laid out in lines
//! that fit a width and painted into a box of pixels. Pure.

use crate::picture::Size;

/// Dots of a letter from left to right, without the gap.
const GLYPH_WIDTH: u32 = 5;
/// Dots of a letter from top to bottom; the eighth row is for descenders.
const GLYPH_HEIGHT: u32 = 8;
/// Dots from one letter to the next.
const ADVANCE: u32 = GLYPH_WIDTH + 1;
/// Dots from one line to the next.
const LINE: u32 = GLYPH_HEIGHT + 3;
/// Dots around the text, on every side.
const MARGIN: u32 = 5;

/// A box of text as pixels: red, green, blue, opacity; colours already multiplied by the opacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextBox {
    /// Width and height in pixels.
    pub size: Size,
    /// Rows from top to bottom, four bytes a pixel.
    pub rgba: Vec<u8>,
}

const INK: [u8; 4] = [0xF2, 0xF2, 0xF2, 0xFF];
const PAPER: [u8; 4] = [0x12, 0x14, 0x18, 0xE0];

/// Breaks `text` into lines of at most `columns` letters, between words where it can.
fn lines(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        // What stands further in stays so.
        let indent = (paragraph.len() - paragraph.trim_start().len()).min(columns / 2);
        let mut line = " ".repeat(indent);
        for word in paragraph.split_whitespace() {
            let mut word: Vec<char> = word.chars().collect();
            let line_len = line.chars().count();
            if line_len > indent && line_len + 1 + word.len() > columns {
                lines.push(core::mem::replace(&mut line, " ".repeat(indent)));
            } else if line_len > indent {
                line.push(' ');
            }
            let room = columns - indent;
            while word.len() > room {
                let part: String = word.drain(..room).collect();
                lines.push(format!("{line}{part}"));
            }
            line.extend(word);
        }
        lines.push(line);
    }
    lines
}

/// Paints `text` for a window of `window` pixels: as large as is comfortable there, never wider than the window, and
/// never higher (lines that do not fit are left out). Nothing if the window is too small for a single letter.
pub fn paint(text: &str, window: Size) -> Option<TextBox> {
    paint_for(text, window, 1)
}

/// The same with dots of at least `dots` pixels, if that leaves room for every line.
pub fn paint_for(text: &str, window: Size, dots: u32) -> Option<TextBox> {
    paint_with(text, window, (window.width.min(window.height * 16 / 9) / 360).clamp(1, 6).max(dots))
}

/// The same in letters of less than half the size, for figures in a corner.
pub fn paint_small(text: &str, window: Size, dots: u32) -> Option<TextBox> {
    paint_with(text, window, (window.width.min(window.height * 16 / 9) / 800).clamp(1, 3).max(dots))
}

/// With dots as large as `most`, or as small as it takes to show all.
fn paint_with(text: &str, window: Size, most: u32) -> Option<TextBox> {
    let (dot, mut lines, rows) = (1..=most).rev().find_map(|dot| {
        let columns = (window.width / dot).checked_sub(2 * MARGIN)? / ADVANCE;
        let rows = (window.height / dot).checked_sub(2 * MARGIN)? / LINE;
        // A line longer than 72 letters is hard to read.
        let lines = (columns > 0 && rows > 0).then(|| lines(text, columns.min(72) as usize))?;
        (dot == 1 || lines.len() <= rows as usize).then_some((dot, lines, rows))
    })?;
    lines.truncate(rows as usize);
    let longest = lines.iter().map(|l| l.chars().count()).max()?;
    let longest = u32::try_from(longest).ok()?.max(1);
    let count = u32::try_from(lines.len()).ok()?;
    let dots = Size::new(longest * ADVANCE - 1 + 2 * MARGIN, count * LINE - 3 + 2 * MARGIN);
    let mut canvas = Canvas::new(dots, dot);
    for (row, line) in (0..).zip(&lines) {
        for (column, letter) in (0..).zip(line.chars()) {
            canvas.letter(MARGIN + column * ADVANCE, MARGIN + row * LINE, glyph(letter));
        }
    }
    Some(TextBox { size: canvas.size, rgba: canvas.rgba })
}

struct Canvas {
    dot: u32,
    size: Size,
    rgba: Vec<u8>,
}

impl Canvas {
    fn new(dots: Size, dot: u32) -> Self {
        let size = Size::new(dots.width * dot, dots.height * dot);
        Canvas { dot, size, rgba: PAPER.repeat(size.width as usize * size.height as usize) }
    }

    fn letter(&mut self, left: u32, top: u32, rows: [u8; GLYPH_HEIGHT as usize]) {
        for (y, row) in (0..).zip(rows) {
            for x in 0..GLYPH_WIDTH {
                if row & (0x10 >> x) != 0 {
                    self.dot(left + x, top + y);
                }
            }
        }
    }

    fn dot(&mut self, x: u32, y: u32) {
        for line in y * self.dot..(y + 1) * self.dot {
            let from = (line as usize * self.size.width as usize + (x * self.dot) as usize) * 4;
            let to = from + self.dot as usize * 4;
            if let Some(pixels) = self.rgba.get_mut(from..to) {
                pixels.chunks_exact_mut(4).for_each(|p| p.copy_from_slice(&INK));
            }
        }
    }
}

/// The dots of a letter: one byte a row, the leftmost dot is bit 4. What is not printable ASCII shows as a box.
fn glyph(letter: char) -> [u8; GLYPH_HEIGHT as usize] {
    let index = u32::from(letter).wrapping_sub(0x20) as usize;
    FONT.get(index).copied().unwrap_or(UNKNOWN)
}

/// Reads one drawing: eight groups of five, `#` for a dot.
const fn draw(art: &[u8; 47]) -> [u8; GLYPH_HEIGHT as usize] {
    let mut rows = [0; GLYPH_HEIGHT as usize];
    let mut y = 0;
    while y < GLYPH_HEIGHT as usize {
        let mut x = 0;
        while x < GLYPH_WIDTH as usize {
            rows[y] = rows[y] << 1 | (art[y * 6 + x] == b'#') as u8;
            x += 1;
        }
        y += 1;
    }
    rows
}

const UNKNOWN: [u8; GLYPH_HEIGHT as usize] = draw(b"##### #...# #...# #...# #...# #...# ##### .....");

#[rustfmt::skip]
const FONT: [[u8; GLYPH_HEIGHT as usize]; 95] = [
    draw(b"..... ..... ..... ..... ..... ..... ..... ....."), // space
    draw(b"..#.. ..#.. ..#.. ..#.. ..#.. ..... ..#.. ....."), // !
    draw(b".#.#. .#.#. ..... ..... ..... ..... ..... ....."), // "
    draw(b".#.#. .#.#. ##### .#.#. ##### .#.#. .#.#. ....."), // #
    draw(b"..#.. .#### #.#.. .###. ..#.# ####. ..#.. ....."), // $
    draw(b"##..# ##..# ...#. ..#.. .#... #..## #..## ....."), // %
    draw(b".##.. #..#. #.#.. .#... #.#.# #..#. .##.# ....."), // &
    draw(b"..#.. ..#.. ..... ..... ..... ..... ..... ....."), // '
    draw(b"...#. ..#.. .#... .#... .#... ..#.. ...#. ....."), // (
    draw(b".#... ..#.. ...#. ...#. ...#. ..#.. .#... ....."), // )
    draw(b"..... ..#.. #.#.# .###. #.#.# ..#.. ..... ....."), // *
    draw(b"..... ..#.. ..#.. ##### ..#.. ..#.. ..... ....."), // +
    draw(b"..... ..... ..... ..... ..... ..##. ..#.. .#..."), // ,
    draw(b"..... ..... ..... ####. ..... ..... ..... ....."), // -
    draw(b"..... ..... ..... ..... ..... .##.. .##.. ....."), // .
    draw(b"....# ....# ...#. ..#.. .#... #.... #.... ....."), // /
    draw(b".###. #...# #..## #.#.# ##..# #...# .###. ....."), // 0
    draw(b"..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###. ....."), // 1
    draw(b".###. #...# ....# ..##. .#... #.... ##### ....."), // 2
    draw(b".###. #...# ....# ..##. ....# #...# .###. ....."), // 3
    draw(b"...#. ..##. .#.#. #..#. ##### ...#. ...#. ....."), // 4
    draw(b"##### #.... ####. ....# ....# #...# .###. ....."), // 5
    draw(b"..##. .#... #.... ####. #...# #...# .###. ....."), // 6
    draw(b"##### ....# ...#. ..#.. ..#.. .#... .#... ....."), // 7
    draw(b".###. #...# #...# .###. #...# #...# .###. ....."), // 8
    draw(b".###. #...# #...# .#### ....# ...#. .##.. ....."), // 9
    draw(b"..... .##.. .##.. ..... .##.. .##.. ..... ....."), // :
    draw(b"..... .##.. .##.. ..... .##.. ..#.. .#... ....."), // ;
    draw(b"...#. ..#.. .#... #.... .#... ..#.. ...#. ....."), // <
    draw(b"..... ..... ####. ..... ####. ..... ..... ....."), // =
    draw(b".#... ..#.. ...#. ....# ...#. ..#.. .#... ....."), // >
    draw(b".###. #...# ....# ..##. ..#.. ..... ..#.. ....."), // ?
    draw(b".###. #...# #.### #.#.# #.### #.... .#### ....."), // @
    draw(b".###. #...# #...# ##### #...# #...# #...# ....."), // A
    draw(b"####. #...# #...# ####. #...# #...# ####. ....."), // B
    draw(b".###. #...# #.... #.... #.... #...# .###. ....."), // C
    draw(b"####. #...# #...# #...# #...# #...# ####. ....."), // D
    draw(b"##### #.... #.... ####. #.... #.... ##### ....."), // E
    draw(b"##### #.... #.... ####. #.... #.... #.... ....."), // F
    draw(b".###. #...# #.... #.### #...# #...# .#### ....."), // G
    draw(b"#...# #...# #...# ##### #...# #...# #...# ....."), // H
    draw(b".###. ..#.. ..#.. ..#.. ..#.. ..#.. .###. ....."), // I
    draw(b"..### ...#. ...#. ...#. ...#. #..#. .##.. ....."), // J
    draw(b"#...# #..#. #.#.. ##... #.#.. #..#. #...# ....."), // K
    draw(b"#.... #.... #.... #.... #.... #.... ##### ....."), // L
    draw(b"#...# ##.## #.#.# #.#.# #...# #...# #...# ....."), // M
    draw(b"#...# ##..# #.#.# #.#.# #..## #...# #...# ....."), // N
    draw(b".###. #...# #...# #...# #...# #...# .###. ....."), // O
    draw(b"####. #...# #...# ####. #.... #.... #.... ....."), // P
    draw(b".###. #...# #...# #...# #.#.# #..#. .##.# ....."), // Q
    draw(b"####. #...# #...# ####. #.#.. #..#. #...# ....."), // R
    draw(b".#### #.... #.... .###. ....# ....# ####. ....."), // S
    draw(b"##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#.. ....."), // T
    draw(b"#...# #...# #...# #...# #...# #...# .###. ....."), // U
    draw(b"#...# #...# #...# #...# #...# .#.#. ..#.. ....."), // V
    draw(b"#...# #...# #...# #.#.# #.#.# ##.## #...# ....."), // W
    draw(b"#...# #...# .#.#. ..#.. .#.#. #...# #...# ....."), // X
    draw(b"#...# #...# .#.#. ..#.. ..#.. ..#.. ..#.. ....."), // Y
    draw(b"##### ....# ...#. ..#.. .#... #.... ##### ....."), // Z
    draw(b".###. .#... .#... .#... .#... .#... .###. ....."), // [
    draw(b"#.... #.... .#... ..#.. ...#. ....# ....# ....."), // \
    draw(b".###. ...#. ...#. ...#. ...#. ...#. .###. ....."), // ]
    draw(b"..#.. .#.#. #...# ..... ..... ..... ..... ....."), // ^
    draw(b"..... ..... ..... ..... ..... ..... ..... #####"), // _
    draw(b".#... ..#.. ..... ..... ..... ..... ..... ....."), // `
    draw(b"..... ..... .###. ....# .#### #...# .#### ....."), // a
    draw(b"#.... #.... ####. #...# #...# #...# ####. ....."), // b
    draw(b"..... ..... .###. #.... #.... #...# .###. ....."), // c
    draw(b"....# ....# .#### #...# #...# #...# .#### ....."), // d
    draw(b"..... ..... .###. #...# ##### #.... .###. ....."), // e
    draw(b"..##. .#... ###.. .#... .#... .#... .#... ....."), // f
    draw(b"..... ..... .#### #...# #...# .#### ....# .###."), // g
    draw(b"#.... #.... #.##. ##..# #...# #...# #...# ....."), // h
    draw(b"..#.. ..... .##.. ..#.. ..#.. ..#.. .###. ....."), // i
    draw(b"...#. ..... ..##. ...#. ...#. ...#. #..#. .##.."), // j
    draw(b"#.... #.... #..#. #.#.. ##... #.#.. #..#. ....."), // k
    draw(b".##.. ..#.. ..#.. ..#.. ..#.. ..#.. .###. ....."), // l
    draw(b"..... ..... ##.#. #.#.# #.#.# #.#.# #.#.# ....."), // m
    draw(b"..... ..... #.##. ##..# #...# #...# #...# ....."), // n
    draw(b"..... ..... .###. #...# #...# #...# .###. ....."), // o
    draw(b"..... ..... ####. #...# #...# ####. #.... #...."), // p
    draw(b"..... ..... .#### #...# #...# .#### ....# ....#"), // q
    draw(b"..... ..... #.##. ##..# #.... #.... #.... ....."), // r
    draw(b"..... ..... .#### #.... .###. ....# ####. ....."), // s
    draw(b".#... .#... ###.. .#... .#... .#... ..##. ....."), // t
    draw(b"..... ..... #...# #...# #...# #..## .##.# ....."), // u
    draw(b"..... ..... #...# #...# #...# .#.#. ..#.. ....."), // v
    draw(b"..... ..... #...# #...# #.#.# #.#.# .#.#. ....."), // w
    draw(b"..... ..... #...# .#.#. ..#.. .#.#. #...# ....."), // x
    draw(b"..... ..... #...# #...# #...# .#### ....# .###."), // y
    draw(b"..... ..... ##### ...#. ..#.. .#... ##### ....."), // z
    draw(b"..##. ..#.. ..#.. .#... ..#.. ..#.. ..##. ....."), // {
    draw(b"..#.. ..#.. ..#.. ..#.. ..#.. ..#.. ..#.. ....."), // |
    draw(b".##.. ..#.. ..#.. ...#. ..#.. ..#.. .##.. ....."), // }
    draw(b"..... ..... .#... #.#.# ...#. ..... ..... ....."), // ~
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_printable_letter_has_a_drawing_of_its_own() {
        let mut seen = std::collections::HashMap::new();
        for letter in ' '..='~' {
            let rows = glyph(letter);
            assert_ne!(rows, UNKNOWN, "{letter}");
            assert!(rows.iter().all(|r| *r < 32), "{letter}");
            assert_eq!(seen.insert(rows, letter), None, "{letter} looks like another letter");
        }
        assert_eq!((glyph('\u{e9}'), glyph('\n')), (UNKNOWN, UNKNOWN));
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(lines("the guest is paused", 10), ["the guest", "is paused"]);
        assert_eq!(lines("abcdefghij klm", 4), ["abcd", "efgh", "ij", "klm"]);
        assert_eq!(lines("one\ntwo", 10), ["one", "two"]);
        assert_eq!(lines("x", 0), ["x"]);
        assert_eq!(lines("a:\n  one two", 6), ["a:", "  one", "  two"]);
        assert_eq!(lines(" abcdefgh", 4), [" abc", " def", " gh"]);
    }

    #[test]
    fn a_letter_is_painted_dot_by_dot() {
        let b = paint("L", Size::new(100, 60)).unwrap();
        assert_eq!(b.size, Size::new(15, 18));
        let ink = |x: u32, y: u32| b.rgba[(y as usize * 15 + x as usize) * 4..][..4] == INK;
        let rows: Vec<String> = (5..13).map(|y| (5..10).map(|x| if ink(x, y) { '#' } else { '.' }).collect()).collect();
        assert_eq!(rows, ["#....", "#....", "#....", "#....", "#....", "#....", "#####", "....."]);
        assert!(!ink(4, 6) && b.rgba[..4] == PAPER);
    }

    #[test]
    fn dots_grow_with_the_window() {
        assert_eq!(paint("L", Size::new(1280, 720)).unwrap().size, Size::new(45, 54));
        assert_eq!(paint("L", Size::new(12, 18)), None);
        assert_eq!(paint("", Size::new(640, 360)), None);
    }

    #[test]
    fn dots_grow_with_the_desktop_as_long_as_every_line_has_room() {
        let width = |text: &str, window: Size, dots| paint_small(text, window, dots).unwrap().size.width;
        let small = Size::new(640, 360);
        assert_eq!([1, 2, 3].map(|dots| width("L", small, dots)), [15, 30, 45]);
        assert_eq!(paint_for("L", Size::new(360, 200), 2).unwrap().size, Size::new(30, 36));
        // Twenty lines of eleven dots have room in 360 rows once, but not twice.
        let many = "L\n".repeat(20);
        assert_eq!([1, 2].map(|dots| width(&many, small, dots)), [15, 15]);
    }

    proptest! {
        #[test]
        fn a_box_never_reaches_past_the_window(text in "[ -~\n]{1,200}", width in 1u32..900, height in 1u32..700) {
            if let Some(b) = paint(&text, Size::new(width, height)) {
                prop_assert!(b.size.width <= width && b.size.height <= height);
                prop_assert_eq!(b.rgba.len(), (b.size.width * b.size.height * 4) as usize);
            }
        }
    }
}
