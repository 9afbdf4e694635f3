//! A page with a treemap of what an image's parts cost: one file, without a script, with nothing from
//! elsewhere.

use serde::Serialize;

use super::size::{Node, rest_of};
use crate::error::{Error, Result};
use crate::units::Size;
use crate::xml;

const PAGE: &str = include_str!("page.html");

/// The map's size, in the units of its own coordinates, on a large screen and on a telephone's: each is
/// drawn in about as many pixels, so that names can be read.
const WIDE: Area = Area {
    x: 0.0,
    y: 0.0,
    width: 1200.0,
    height: 720.0,
};
const NARROW: Area = Area {
    width: 340.0,
    height: 560.0,
    ..WIDE
};

/// How many levels are drawn, and how many the table has.
const DEPTH: usize = 4;
const LEVELS: usize = 3;

/// Parts of less than one in so many of all are summed up in the table.
const SMALL: u64 = 200;

/// What is too small to be seen is not drawn, in square units.
const LEAST: f64 = 20.0;

/// Room for the name of a part with parts, and around them.
const HEAD: f64 = 16.0;
const EDGE: f64 = 2.0;

/// About as wide is a letter.
const LETTER: f64 = 6.2;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// A rectangle of the map.
#[derive(Debug, Serialize)]
struct Tile {
    x: String,
    y: String,
    width: String,
    height: String,
    hue: u64,
    level: usize,
    /// What is written on it, if it has room for that.
    label: String,
    label_x: String,
    label_y: String,
    /// What a pointer shows.
    title: String,
}

/// A map, for screens of one width.
#[derive(Debug, Serialize)]
struct Map {
    class: &'static str,
    width: f64,
    height: f64,
    tiles: Vec<Tile>,
}

/// A row of the table.
#[derive(Debug, Serialize)]
struct Row {
    level: usize,
    name: String,
    size: String,
    packed: Option<String>,
    files: u64,
    share: String,
}

#[derive(Debug, Serialize)]
struct Values {
    title: String,
    sum: String,
    /// Whether the size of the packed file is known.
    is_packed: bool,
    maps: [Map; 2],
    rows: Vec<Row>,
}

/// The page of `node`, which is of `image` and summed up `by` something.
///
/// # Errors
/// When it cannot be rendered, which is a bug.
pub fn page(image: &str, by: &str, node: &Node) -> Result<String> {
    let map = |class, area: Area| {
        let mut tiles = vec![];
        draw(&mut tiles, node, area, 0, 0);
        let (width, height) = (area.width, area.height);
        Map {
            class,
            width,
            height,
            tiles,
        }
    };
    let mut rows = vec![];
    list(&mut rows, node, 0, node.bytes);
    let size = Size::bytes(node.bytes).human();
    let packed = node.packed.map(|packed| Size::bytes(packed).human());
    let packed = packed.map_or(String::new(), |packed| format!(", packed {packed}"));
    let values = Values {
        title: format!("{image} by {by}"),
        sum: format!("{size} in {} files{packed}", node.files),
        is_packed: node.packed.is_some(),
        maps: [map("wide", WIDE), map("narrow", NARROW)],
        rows,
    };
    let page = xml::render(PAGE, values);
    page.map_err(|cause| Error::internal("the page of sizes cannot be rendered").cause(cause))
}

/// The parts of a node for the table, each before its own.
fn list(rows: &mut Vec<Row>, node: &Node, level: usize, all: u64) {
    let large = node
        .parts
        .iter()
        .take_while(|part| part.bytes >= all / SMALL);
    let (large, small) = node.parts.split_at(large.count());
    for part in large {
        rows.push(row(part, level, all));
        if level + 1 < LEVELS {
            list(rows, part, level + 1, all);
        }
    }
    rows.extend(rest_of(small).map(|more| row(&more, level, all)));
}

fn row(part: &Node, level: usize, all: u64) -> Row {
    let packed = part.packed.map(|packed| Size::bytes(packed).human());
    Row {
        level,
        name: part.name.clone(),
        size: Size::bytes(part.bytes).human(),
        packed,
        files: part.files,
        share: format!("{:.1} %", part.bytes as f64 * 100.0 / all.max(1) as f64),
    }
}

fn draw(tiles: &mut Vec<Tile>, node: &Node, area: Area, level: usize, hue: u64) {
    if area.width * area.height < LEAST {
        return;
    }
    let has_parts = level < DEPTH && !node.parts.is_empty();
    let room = (area.width / LETTER) as usize;
    let label = match area.height >= HEAD && room > 3 {
        true => node.name.chars().take(room).collect(),
        false => String::new(),
    };
    let number = |value: f64| format!("{value:.1}");
    tiles.push(Tile {
        x: number(area.x),
        y: number(area.y),
        width: number(area.width),
        height: number(area.height),
        hue,
        level,
        label,
        label_x: number(area.x + 3.0),
        label_y: number(area.y + 12.0),
        title: format!(
            "{}: {}, {} files",
            node.name,
            Size::bytes(node.bytes).human(),
            node.files
        ),
    });
    let inner = Area {
        x: area.x + EDGE,
        y: area.y + HEAD,
        width: area.width - 2.0 * EDGE,
        height: area.height - HEAD - EDGE,
    };
    if !has_parts || inner.width <= 0.0 || inner.height <= 0.0 {
        return;
    }
    let scale = inner.width * inner.height / node.bytes.max(1) as f64;
    let sizes: Vec<f64> = node
        .parts
        .iter()
        .map(|part| part.bytes as f64 * scale)
        .collect();
    for (number, (part, area)) in node.parts.iter().zip(squares(&sizes, inner)).enumerate() {
        let hue = if level == 0 {
            number as u64 * 47 % 360
        } else {
            hue
        };
        draw(tiles, part, area, level + 1, hue);
    }
}

/// Areas of these sizes, in falling order, as square as may be (Bruls, Huizing, van Wijk: Squarified
/// treemaps, 2000).
fn squares(sizes: &[f64], mut room: Area) -> Vec<Area> {
    let mut areas = Vec::with_capacity(sizes.len());
    let mut rest = sizes;
    while !rest.is_empty() {
        let side = room.width.min(room.height);
        let mut count = 1;
        while count < rest.len() && worst(&rest[..=count], side) <= worst(&rest[..count], side) {
            count += 1;
        }
        let (row, more) = rest.split_at(count);
        let sum: f64 = row.iter().sum();
        let thick = if side > 0.0 { sum / side } else { 0.0 };
        let upright = room.width >= room.height;
        let mut along = 0.0;
        for size in row {
            let long = if thick > 0.0 { size / thick } else { 0.0 };
            areas.push(match upright {
                true => Area {
                    x: room.x,
                    y: room.y + along,
                    width: thick,
                    height: long,
                },
                false => Area {
                    x: room.x + along,
                    y: room.y,
                    width: long,
                    height: thick,
                },
            });
            along += long;
        }
        match upright {
            true => {
                room.x += thick;
                room.width -= thick;
            }
            false => {
                room.y += thick;
                room.height -= thick;
            }
        }
        rest = more;
    }
    areas
}

/// The worst ratio of sides in a row along a side of this length.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let ratio = |size: &f64| {
        let (a, b) = (side * side * size, sum * sum);
        (a / b).max(b / a)
    };
    row.iter().map(ratio).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, bytes: u64, parts: Vec<Node>) -> Node {
        Node {
            name: name.into(),
            files: 1,
            bytes,
            packed: Some(bytes / 2),
            parts,
        }
    }

    #[test]
    fn a_map_fills_its_room_and_overlaps_nowhere() {
        let sizes = [6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0];
        let room = Area {
            x: 1.0,
            y: 2.0,
            width: 6.0,
            height: 4.0,
        };
        let areas = squares(&sizes, room);
        for (area, size) in areas.iter().zip(sizes) {
            assert!((area.width * area.height - size).abs() < 1e-9, "{area:?}");
            let (right, below) = (area.x + area.width, area.y + area.height);
            assert!(area.x >= 1.0 && right <= 7.0 + 1e-9, "{area:?}");
            assert!(area.y >= 2.0 && below <= 6.0 + 1e-9, "{area:?}");
        }
        for (number, one) in areas.iter().enumerate() {
            for other in &areas[..number] {
                let apart = |a: f64, b: f64, c: f64, d: f64| a + b <= c + 1e-9 || c + d <= a + 1e-9;
                let (x, y) = (
                    apart(one.x, one.width, other.x, other.width),
                    apart(one.y, one.height, other.y, other.height),
                );
                assert!(x || y, "{one:?} {other:?}");
            }
        }
        assert!(
            squares(&[0.0, 0.0], room)
                .iter()
                .all(|area| area.width.is_finite())
        );
    }

    #[test]
    fn names_never_become_markup_and_nothing_is_fetched() {
        let bad = "<script>alert(1)</script>&\"'";
        let tree = node("/", 100, vec![node(bad, 90, vec![]), node("b", 10, vec![])]);
        let page = page(bad, "step", &tree).unwrap();
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;"));
        for fetched in ["http", "src=", "url(", "@import", "href"] {
            assert!(!page.contains(fetched), "{fetched}");
        }
        // On two maps, and in the table.
        assert_eq!(page.matches("<rect").count(), 6);
        assert_eq!(page.matches("90.0 %").count(), 1);
    }
}
