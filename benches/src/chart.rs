//! Draws maps and plots as SVG: text only, no script, readable on light and on dark paper. Pure.

use crate::figure::{HeatMap, Plot};
use std::fmt::Write;

/// Sizes in pixels of the drawing.
const CELL: (f64, f64) = (64.0, 30.0);
const LEFT: f64 = 130.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 60.0;
const RIGHT: f64 = 30.0;
const PLOT: (f64, f64) = (520.0, 260.0);
/// Room for the names of a plot's lines: before a name, and for each of its letters.
const LEGEND: (f64, f64) = (48.0, 8.0);

/// Colours that differ in brightness too, for eyes that tell few hues apart. Source: Okabe and Ito, "Color universal
/// design".
const LINES: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#999999"];

/// Follows the reader's light or dark setting.
const STYLE: &str = "<style>text{font:13px sans-serif;fill:#222}.t{font-weight:bold;font-size:14px}.p{fill:#fff}\
                     .a{stroke:#777;fill:none}.g{stroke:#ddd;fill:none}@media(prefers-color-scheme:dark){text{fill:#ddd}\
                     .p{fill:#16181d}.g{stroke:#333}}</style>";

/// Text for SVG and HTML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

fn begin(width: f64, height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"{0}\">{STYLE}<rect class=\"p\" width=\"100%\" height=\"100%\"/>\
         <text class=\"t\" x=\"14\" y=\"26\">{0}</text>\n",
        escape(title)
    )
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(words));
}

/// A heat map: nothing is green, the most is red.
pub fn heat_map(map: &HeatMap) -> String {
    let title = format!("{} ({})", map.title, map.unit);
    let width = (LEFT + CELL.0 * map.x.len() as f64 + RIGHT).max(40.0 + 8.7 * title.chars().count() as f64);
    let height = TOP + CELL.1 * map.y.len() as f64 + BOTTOM;
    let most = map.values.iter().flatten().flatten().copied().fold(0.0, f64::max);
    let mut out = begin(width, height, &title);
    text(&mut out, (14.0, TOP - 10.0), "start", &map.y_title);
    for (row, (name, values)) in map.y.iter().zip(&map.values).enumerate() {
        let y = TOP + CELL.1 * row as f64;
        text(&mut out, (LEFT - 8.0, y + 20.0), "end", name);
        for (column, value) in values.iter().enumerate() {
            let x = LEFT + CELL.0 * column as f64;
            let (colour, words) = match value {
                Some(value) => (heat(*value, most), cell_words(*value)),
                None => ("#8884".to_owned(), "–".to_owned()),
            };
            let (w, h) = (CELL.0 - 2.0, CELL.1 - 2.0);
            let _ =
                writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"3\" fill=\"{colour}\"/>");
            let (x, y) = (x + w / 2.0, y + 19.0);
            let _ =
                writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" style=\"fill:#111\">{words}</text>");
        }
    }
    let foot = TOP + CELL.1 * map.y.len() as f64;
    for (column, name) in map.x.iter().enumerate() {
        text(&mut out, (LEFT + CELL.0 * (column as f64 + 0.5), foot + 18.0), "middle", name);
    }
    text(&mut out, (LEFT + CELL.0 * map.x.len() as f64 / 2.0, foot + 40.0), "middle", &map.x_title);
    out.push_str("</svg>\n");
    out
}

fn cell_words(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        v if v < 0.095 => format!("{v:.2}"),
        v if v < 9.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// From green over yellow to red. Bright in all, so that dark words stand out on them.
fn heat(value: f64, most: f64) -> String {
    if value <= 0.0 || most <= 0.0 {
        return "#b7e1b0".into();
    }
    // The root shows small values too.
    let share = (value / most).clamp(0.0, 1.0).sqrt();
    let channel = |from: f64, to: f64| (from + (to - from) * share).round() as u8;
    format!("#{:02x}{:02x}{:02x}", channel(250.0, 240.0), channel(236.0, 110.0), channel(150.0, 90.0))
}

/// A plot of lines with points.
pub fn plot(plot: &Plot) -> String {
    let points = || plot.series.iter().flat_map(|s| &s.points).filter(|p| p.0.is_finite() && p.1.is_finite());
    let up = |value: f64| if plot.y_is_log { value.max(1e-9).log10() } else { value };
    let range = |of: &dyn Fn(&(f64, f64)) -> f64| {
        let (least, most) = points().map(of).fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        if least > most {
            (0.0, 1.0)
        } else if least == most {
            (least - 0.5, most + 0.5)
        } else {
            (least, most)
        }
    };
    let (x0, x1) = range(&|p| p.0);
    let (mut y0, mut y1) = range(&|p| up(p.1));
    if plot.y_is_log {
        (y0, y1) = (y0.floor(), y1.ceil().max(y0.floor() + 1.0));
    } else {
        y0 = y0.min(0.0);
    }
    let place =
        |(x, y): (f64, f64)| (LEFT + (x - x0) / (x1 - x0) * PLOT.0, TOP + PLOT.1 - (up(y) - y0) / (y1 - y0) * PLOT.1);
    let longest = plot.series.iter().map(|s| s.name.chars().count()).max().unwrap_or(0);
    let legend = LEGEND.0 + LEGEND.1 * longest as f64;
    let mut out = begin(LEFT + PLOT.0 + legend, TOP + PLOT.1 + BOTTOM, &plot.title);
    for tick in ticks(y0, y1, plot.y_is_log) {
        let value = if plot.y_is_log { 10f64.powf(tick) } else { tick };
        let (_, y) = place((x0, value));
        let _ = writeln!(out, "<path class=\"g\" d=\"M{LEFT:.1} {y:.1}h{:.1}\"/>", PLOT.0);
        text(&mut out, (LEFT - 8.0, y + 4.0), "end", &short(value));
    }
    for tick in ticks(x0, x1, false) {
        let (x, _) = place((tick, if plot.y_is_log { 1.0 } else { 0.0 }));
        text(&mut out, (x, TOP + PLOT.1 + 18.0), "middle", &short(tick));
    }
    let _ = writeln!(out, "<path class=\"a\" d=\"M{LEFT:.1} {TOP:.1}v{:.1}h{:.1}\"/>", PLOT.1, PLOT.0);
    text(&mut out, (14.0, TOP - 12.0), "start", &plot.y_title);
    text(&mut out, (LEFT + PLOT.0 / 2.0, TOP + PLOT.1 + 42.0), "middle", &plot.x_title);
    for (n, series) in plot.series.iter().enumerate() {
        let colour = LINES[n % LINES.len()];
        let good = series.points.iter().filter(|p| p.0.is_finite() && p.1.is_finite());
        let mut path = String::new();
        for (k, point) in good.enumerate() {
            let (x, y) = place(*point);
            let _ = write!(path, "{}{x:.1} {y:.1}", if k == 0 { "M" } else { "L" });
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let _ = writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
        let y = TOP + 14.0 + 20.0 * n as f64;
        let x = LEFT + PLOT.0 + 12.0;
        let _ = writeln!(out, "<path d=\"M{x} {:.1}h16\" stroke=\"{colour}\" stroke-width=\"3\"/>", y - 4.0);
        text(&mut out, (x + 22.0, y), "start", &series.name);
    }
    out.push_str("</svg>\n");
    out
}

/// Round values within a range, four to nine of them.
fn ticks(from: f64, to: f64, is_log: bool) -> Vec<f64> {
    let raw = (to - from) / 5.0;
    let step = if is_log {
        1.0
    } else {
        let power = 10f64.powf(raw.log10().floor());
        [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= raw).unwrap_or(raw)
    };
    let first = (from / step).ceil();
    (0..20).map(|n| (first + f64::from(n)) * step).take_while(|tick| *tick <= to + step * 1e-6).collect()
}

fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{:.0} M", value / 1e6),
        v if v >= 1e4 => format!("{:.0} k", value / 1e3),
        v if v >= 1.0 && value.fract().abs() < 1e-9 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.1}"),
        0.0 => "0".into(),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Series;

    fn map() -> HeatMap {
        HeatMap {
            id: "m".into(),
            title: "a <map>".into(),
            unit: "%".into(),
            x_title: "slots".into(),
            x: vec!["2".into(), "3".into()],
            y_title: "size".into(),
            y: vec!["1280x720".into()],
            values: vec![vec![Some(12.5), None]],
        }
    }

    /// Every element that opens closes, and no text breaks out of its place.
    fn check_well_formed(svg: &str) {
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        let count = |what: &str| svg.matches(what).count();
        assert_eq!(count("<text"), count("</text>"));
        let inner = svg.replace("</text>", "").replace("</svg>", "").replace("</style>", "");
        let singles = inner.matches("/>").count();
        let opened = inner.matches('<').count();
        assert_eq!(opened, singles + count("<text") + count("<svg") + count("<style>"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_map_has_a_field_for_each_pair_and_says_where_there_is_none() {
        let svg = heat_map(&map());
        check_well_formed(&svg);
        assert!(svg.contains("a &lt;map&gt; (%)") && svg.contains(">12</text>") && svg.contains(">–</text>"), "{svg}");
        check_well_formed(&heat_map(&HeatMap::default()));
    }

    #[test]
    fn a_plot_draws_what_is_finite_on_either_axis() {
        let series = |points: &[(f64, f64)]| Series { name: "a".into(), points: points.to_vec() };
        for y_is_log in [false, true] {
            for points in [&[(1.0, 3.0), (2.0, 400.0), (f64::NAN, 1.0), (3.0, f64::INFINITY)][..], &[(1.0, 1.0)], &[]] {
                let plot = Plot { y_is_log, series: vec![series(points)], ..Plot::default() };
                check_well_formed(&super::plot(&plot));
            }
        }
    }

    #[test]
    fn a_plot_is_as_wide_as_its_longest_name_needs() {
        let width = |name: &str| -> f64 {
            let series = vec![Series { name: name.into(), points: vec![(1.0, 1.0)] }];
            let svg = super::plot(&Plot { series, ..Plot::default() });
            svg.split_once(" width=\"").unwrap().1.split_once('"').unwrap().0.parse().unwrap()
        };
        let (short, long) = ("poll of 1 ms", "datagrams of 6 ms, balanced");
        // No letter of 13 px is wider than 8 px on average.
        assert_eq!(width(long) - width(short), 8.0 * (long.len() - short.len()) as f64);
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(0.0, 9.0, false), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(ticks(-1.0, 3.0, true), [-1.0, 0.0, 1.0, 2.0, 3.0]);
        for (from, to) in [(0.0, 1.0), (3.0, 700.0), (-5.0, 1e6)] {
            assert!((3..=11).contains(&ticks(from, to, false).len()), "{from} {to}");
        }
    }
}
