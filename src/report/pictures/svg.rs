//! The few shapes that the pictures are made of. Numbers have one decimal, so bytes never differ.

use super::{Picture, xml};

/// Width of every picture, in its own units.
pub(super) const WIDTH: f64 = 760.0;

/// A class, and its colour where nobody recolours it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    class: &'static str,
    colour: &'static str,
}

/// Text that matters.
pub(super) const INK: Paint = Paint { class: "ink", colour: "#1b2733" };
/// Text beside it.
pub(super) const MUTED: Paint = Paint { class: "muted", colour: "#4b5866" };
/// Axes and frames.
pub(super) const LINE: Paint = Paint { class: "line", colour: "#8b97a4" };
/// Lines of a grid, and bands.
pub(super) const GRID: Paint = Paint { class: "grid", colour: "#e3e8ed" };
/// What was measured.
pub(super) const BAR: Paint = Paint { class: "bar", colour: "#1f5f99" };
/// What was measured but does not count.
pub(super) const SIDE: Paint = Paint { class: "side", colour: "#7d94ab" };
/// Good.
pub(super) const GOOD: Paint = Paint { class: "good", colour: "#2c6e49" };
/// Bad; also the objective's line.
pub(super) const BAD: Paint = Paint { class: "bad", colour: "#b3261e" };
/// On top of a filled bar.
pub(super) const ON: Paint = Paint { class: "on", colour: "#ffffff" };

/// Where a text is anchored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture being drawn.
pub(super) struct Canvas {
    name: &'static str,
    body: String,
}

impl Canvas {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, body: String::new() }
    }

    fn add(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    /// A filled rectangle; never so narrow that it cannot be seen.
    pub(super) fn bar(&mut self, paint: Paint, x: f64, y: f64, w: f64, h: f64) {
        let w = w.max(1.5);
        self.add(&format!(
            r#"<rect class="fill-{}" fill="{}" x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}"/>"#,
            paint.class, paint.colour
        ));
    }

    /// A rectangle with slanted lines: bad, or not done.
    pub(super) fn hatched(&mut self, paint: Paint, x: f64, y: f64, w: f64, h: f64) {
        self.patterned("hatch", paint, "", x, y, w, h);
    }

    /// A rectangle with dots and a broken frame: not known.
    pub(super) fn dotted(&mut self, paint: Paint, x: f64, y: f64, w: f64, h: f64) {
        self.patterned("dots", paint, r#" stroke-dasharray="3 2""#, x, y, w, h);
    }

    #[expect(clippy::too_many_arguments, reason = "a place and a size")]
    fn patterned(&mut self, kind: &str, paint: Paint, dash: &str, x: f64, y: f64, w: f64, h: f64) {
        let w = w.max(1.5);
        let (class, colour, name) = (paint.class, paint.colour, self.name);
        self.add(&format!(
            r##"<rect class="stroke-{class}" fill="url(#picture-{name}-{kind}-{class})" stroke="{colour}" stroke-width="1"{dash} x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}"/>"##,
        ));
    }

    /// A line.
    pub(super) fn line(&mut self, paint: Paint, width: f64, from: (f64, f64), to: (f64, f64)) {
        self.stroke(paint, width, "", from, to);
    }

    /// A broken line.
    pub(super) fn dashed(&mut self, paint: Paint, width: f64, from: (f64, f64), to: (f64, f64)) {
        self.stroke(paint, width, r#" stroke-dasharray="5 3""#, from, to);
    }

    fn stroke(&mut self, paint: Paint, width: f64, dash: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(&format!(
            r#"<line class="stroke-{}" stroke="{}" stroke-width="{width:.1}"{dash} x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#,
            paint.class, paint.colour
        ));
    }

    /// A diamond around a point.
    pub(super) fn diamond(&mut self, paint: Paint, x: f64, y: f64) {
        self.shape(paint, &[(x, y - 5.0), (x + 5.0, y), (x, y + 5.0), (x - 5.0, y)]);
    }

    /// A triangle that points to the right.
    pub(super) fn arrow(&mut self, paint: Paint, x: f64, y: f64, h: f64) {
        self.shape(paint, &[(x, y - h / 2.0), (x + h / 2.0, y), (x, y + h / 2.0)]);
    }

    fn shape(&mut self, paint: Paint, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.add(&format!(
            r#"<polygon class="fill-{}" fill="{}" points="{}"/>"#,
            paint.class,
            paint.colour,
            points.join(" ")
        ));
    }

    /// A cross around a point.
    pub(super) fn cross(&mut self, paint: Paint, x: f64, y: f64) {
        self.line(paint, 2.0, (x - 4.0, y - 4.0), (x + 4.0, y + 4.0));
        self.line(paint, 2.0, (x - 4.0, y + 4.0), (x + 4.0, y - 4.0));
    }

    /// A text on its baseline.
    pub(super) fn text(&mut self, paint: Paint, size: f64, anchor: Anchor, at: (f64, f64), text: &str) {
        self.words(paint, size, "", anchor, at, text);
    }

    /// The same, in bold.
    pub(super) fn bold(&mut self, paint: Paint, size: f64, anchor: Anchor, at: (f64, f64), text: &str) {
        self.words(paint, size, r#" font-weight="bold""#, anchor, at, text);
    }

    fn words(
        &mut self,
        paint: Paint,
        size: f64,
        weight: &str,
        anchor: Anchor,
        (x, y): (f64, f64),
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        self.add(&format!(
            r#"<text class="fill-{}" fill="{}" font-size="{size:.1}"{weight}{anchor} x="{x:.1}" y="{y:.1}">{}</text>"#,
            paint.class,
            paint.colour,
            xml(text)
        ));
    }

    /// The picture, `height` units high.
    pub(super) fn finish(self, height: f64, title: String, description: String) -> Picture {
        let name = self.name;
        let mut defs = String::new();
        for paint in [BAD, SIDE, LINE, MUTED] {
            let (class, colour) = (paint.class, paint.colour);
            let used = |kind: &str| self.body.contains(&format!("url(#picture-{name}-{kind}-{class})"));
            if used("hatch") {
                let line = format!(
                    r#"<pattern id="picture-{name}-hatch-{class}" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line class="stroke-{class}" stroke="{colour}" stroke-width="4" x1="0" y1="0" x2="0" y2="5"/></pattern>
"#
                );
                defs.push_str(&line);
            }
            if used("dots") {
                let line = format!(
                    r#"<pattern id="picture-{name}-dots-{class}" width="5" height="5" patternUnits="userSpaceOnUse"><circle class="fill-{class}" fill="{colour}" cx="2.5" cy="2.5" r="1"/></pattern>
"#
                );
                defs.push_str(&line);
            }
        }
        let svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" class="picture" role="img" aria-labelledby="picture-{name}-title picture-{name}-desc" width="{WIDTH:.0}" height="{height:.0}" viewBox="0 0 {WIDTH:.0} {height:.0}" font-family="sans-serif">
<title id="picture-{name}-title">{}</title>
<desc id="picture-{name}-desc">{}</desc>
<defs>
{defs}</defs>
{}</svg>
"#,
            xml(&title),
            xml(&description),
            self.body
        );
        Picture { name, title, description, svg }
    }
}

/// How wide a text of this size is at most, about.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let wide = |c: char| if c.is_ascii() { 0.57 } else { 1.0 };
    text.chars().map(wide).sum::<f64>() * size
}

/// A text that fits; what does not is cut off, with `…`.
pub(super) fn fit(text: &str, size: f64, room: f64) -> String {
    let text = super::clean(text);
    if width(&text, size) <= room {
        return text;
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if width(&out, size) + size > room {
            out.pop();
            break;
        }
    }
    out.push('…');
    out
}
