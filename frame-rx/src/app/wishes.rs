//! What the user's keys change in the picture, and the words that say so.

use super::paint::Painter;
use crate::gpu::scene::Filter;
use crate::picture::Rotation;
use crate::remember::Manner;
use crate::view::Scale;
use clap::ValueEnum;
use shm_proto::HostTime;

/// The value after this one, going round.
fn next<T: ValueEnum + PartialEq + Clone>(value: &T) -> T {
    let all = T::value_variants();
    let at = all.iter().position(|v| v == value).map_or(0, |i| (i + 1) % all.len());
    all.get(at).unwrap_or(value).clone()
}

fn name<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}

impl Painter {
    /// Keeps the picture that stands there, or goes on. Each of these returns what to tell.
    pub(super) fn pause(&mut self) -> String {
        self.paused = !self.paused;
        if self.paused { "kept: the guest goes on unseen".into() } else { "showing the guest again".into() }
    }

    /// Whether the picture is kept.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn rotate(&mut self) -> String {
        self.turning.turn_on();
        format!("turned by {} degrees", 90 * self.turned().rows.quarters())
    }

    pub(super) fn next_scale(&mut self) -> String {
        self.scale = next::<Scale>(&self.scale);
        format!("scale: {}", name(&self.scale))
    }

    pub(super) fn next_filter(&mut self) -> String {
        self.filter = next::<Filter>(&self.filter);
        format!("filter: {}", name(&self.filter))
    }

    pub(super) fn show_figures(&mut self) -> String {
        self.overlay.toggle_figures();
        not_built()
    }

    pub(super) fn show_timings(&mut self) -> String {
        self.overlay.toggle_timings();
        not_built()
    }

    pub(super) fn show_help(&mut self, help: &str) -> String {
        self.overlay.toggle_help(help);
        not_built()
    }

    /// Shows a few words for a moment.
    pub(super) fn say(&mut self, words: String, now: HostTime) {
        self.overlay.say(words, now);
    }

    /// How the picture is shown, as far as keys change it.
    pub(super) fn manner(&self) -> Manner {
        let Painter { scale, filter, .. } = *self;
        Manner { scale, filter, more: self.turning.more(), figures: self.overlay.kept() }
    }

    /// How the picture is shown, in words.
    pub(super) fn manner_in_words(&self) -> String {
        let (scale, filter) = (name(&self.scale), name(&self.filter));
        let size = self.picture_size().map_or_else(|| "no picture".into(), |s| s.to_string());
        let turn = match self.turned().rows {
            Rotation::None => String::new(),
            turn => format!(" turned by {}", 90 * turn.quarters()),
        };
        format!("{size}{turn}, {scale}, {filter}, {}", self.screen.present_mode())
    }
}

fn not_built() -> String {
    if crate::overlay::BUILT { String::new() } else { "this build has no overlay".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_go_round() {
        let mut seen = vec![Scale::default()];
        for _ in 1..Scale::value_variants().len() {
            seen.push(next(seen.last().unwrap()));
        }
        assert_eq!(next(seen.last().unwrap()), Scale::default());
        assert_eq!(seen, Scale::value_variants());
        assert_eq!(name(&Scale::OneToOne), "1:1");
    }
}
