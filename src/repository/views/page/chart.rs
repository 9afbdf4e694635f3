//! The sizes of an image's revisions over time, as a small chart and as a sentence.

use serde::Serialize;

use crate::repository::state::{Image, Revision};
use crate::units::Size;

/// Revisions in a chart, the newest.
const SHOWN: usize = 60;

/// Width and height of the drawing, and the room around the line.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 96.0;
const EDGE: f64 = 8.0;

/// A line for one architecture.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Chart {
    /// Its points, as an SVG has them.
    line: String,
    /// One for each revision.
    dots: Vec<Dot>,
    /// The same in words.
    says: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct Dot {
    x: String,
    y: String,
    title: String,
}

/// A chart for each architecture that has more than one revision.
pub(super) fn of(image: &Image) -> Vec<Chart> {
    let mut archs: Vec<&str> = image.published().map(|(_, one)| &*one.arch).collect();
    archs.sort_unstable();
    archs.dedup();
    let several = archs.len() > 1;
    let charts = archs.into_iter().filter_map(|arch| {
        let of_arch = image.published().filter(|(_, one)| *one.arch == *arch);
        let newest: Vec<_> = of_arch.rev().take(SHOWN).collect();
        let revisions: Vec<_> = newest.into_iter().rev().collect();
        draw(&revisions, several.then_some(arch))
    });
    charts.collect()
}

fn draw(revisions: &[(&u64, &Revision)], arch: Option<&str>) -> Option<Chart> {
    let [(first, oldest), .., (last, newest)] = revisions else {
        return None;
    };
    let sizes = || revisions.iter().map(|(_, one)| one.size);
    let (least, most) = (sizes().min()?, sizes().max()?.max(1));
    let second = |one: &Revision| one.created.when.as_second();
    let (begin, took) = (second(oldest), second(newest) - second(oldest));
    let dots = revisions.iter().enumerate().map(|(place, (number, one))| {
        // Revisions of one moment stand side by side.
        let along = match took > 0 {
            true => (second(one) - begin) as f64 / took as f64,
            false => place as f64 / (revisions.len() - 1) as f64,
        };
        let high = one.size as f64 / most as f64;
        let day = one.created.when.strftime("%Y-%m-%d");
        Dot {
            x: format!("{:.1}", EDGE + (WIDTH - 2.0 * EDGE) * along.clamp(0.0, 1.0)),
            y: format!("{:.1}", HEIGHT - EDGE - (HEIGHT - 2.0 * EDGE) * high),
            title: format!(
                "revision {number}, {day}: {}",
                Size::bytes(one.size).human()
            ),
        }
    });
    let dots: Vec<Dot> = dots.collect();
    let points = dots.iter().map(|dot| format!("{},{}", dot.x, dot.y));
    let arch = arch.map(|arch| format!(" for {arch}")).unwrap_or_default();
    let human = |bytes| Size::bytes(bytes).human();
    Some(Chart {
        line: points.collect::<Vec<_>>().join(" "),
        says: format!(
            "Download size{arch}, revision {first} to {last}: now {}, at least {}, at most {}.",
            human(newest.size),
            human(least),
            human(most)
        ),
        dots,
    })
}
