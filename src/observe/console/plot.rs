//! Small plots of the last hour, as SVG that the page has in it: sixty bars of a minute, drawn by one path.

use std::fmt::Write as _;

use maud::{Markup, html};

/// Bars of `values`, the oldest first, as high as the largest of `values` and of `at_least`. `label` is what a screen
/// reader says; it has the largest and the sum of the values behind it.
pub fn bars(values: &[f64], tone: &str, label: &str) -> Markup {
    let largest = values.iter().copied().fold(0.0_f64, f64::max);
    let total: f64 = values.iter().sum();
    let spoken = format!("{label}: {total:.0} in the last hour, at most {largest:.0} a minute");
    drawn(values, largest, tone, &spoken)
}

/// The same of a level (a backlog), whose sum means nothing.
pub fn level(values: &[f64], tone: &str, label: &str, text: impl Fn(u64) -> String) -> Markup {
    let largest = values.iter().copied().fold(0.0_f64, f64::max);
    let spoken = format!("{label}: at most {} in the last hour", text(largest as u64));
    drawn(values, largest, tone, &spoken)
}

fn drawn(values: &[f64], largest: f64, tone: &str, spoken: &str) -> Markup {
    html! {
        svg class=(format!("plot {tone}")) viewBox="0 0 180 28" preserveAspectRatio="none" role="img" aria-label=(spoken) {
            path class="floor" d="M0 27.5h180" {}
            @if largest > 0.0 { path class="bars" d=(path(values, largest)) {} }
        }
    }
}

/// A bar is two units wide with one beside it, and at least one high, so that a lone request is seen.
fn path(values: &[f64], largest: f64) -> String {
    let mut path = String::new();
    for (at, value) in values.iter().enumerate().filter(|(_, value)| **value > 0.0) {
        let height = (value / largest * 26.0).max(1.5);
        let _ = write!(path, "M{} 28v-{height:.1}h2v{height:.1}z", at * 3);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_bar_for_each_minute_with_something_in_it_and_says_what_it_shows() {
        let plot = bars(&[0.0, 1.0, 100.0], "ok", "Stored").into_string();
        assert!(plot.contains(r#"d="M3 28v-1.5h2v1.5zM6 28v-26.0h2v26.0z""#), "{plot}");
        assert!(plot.contains("Stored: 101 in the last hour, at most 100 a minute"), "{plot}");
        assert!(!bars(&[0.0; 60], "ok", "Stored").into_string().contains("bars"));
    }
}
