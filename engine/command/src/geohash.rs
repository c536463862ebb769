//! Places on the earth as numbers: geohashes of up to 52 bits, distances on a sphere, and which cells
//! cover an area. Knows no key and no set. The numbers are Redis's, so that scores, distances and
//! digits agree with it: its limits of latitude (EPSG:3857), its radius of the earth, its formulas.
//!
//! cell: the bits of longitude and latitude by turns, the longitude's the higher one
//! (G. M. Morton, 1966; <https://en.wikipedia.org/wiki/Geohash>).

use std::f64::consts::PI;

/// Bits of each of the two, at most.
pub const STEP_MAX: u8 = 26;
const LONGITUDES: Range = Range { min: -180.0, max: 180.0 };
const LATITUDES: Range = Range { min: -85.051_128_78, max: 85.051_128_78 };
/// Of geohashes as others write them.
const STANDARD_LATITUDES: Range = Range { min: -90.0, max: 90.0 };
/// Metres.
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half of the equator's length in the projection, in metres: a radius that reaches everywhere.
const MERCATOR_MAX: f64 = 20_037_726.37;
/// Latitudes beyond which cells are so narrow that a larger one is taken, and a larger one again.
const NARROW_LATITUDES: [f64; 2] = [66.0, 80.0];
const RADIANS_PER_DEGREE: f64 = PI / 180.0;
/// The digits of geohashes in text.
const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// A cell and those around it, by how far they are to the east and to the north, in Redis's order.
const AROUND: [(i32, i32); 9] =
    [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    min: f64,
    max: f64,
}

impl Range {
    fn contains(self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }

    /// Which of `2^step` equal parts a value is in.
    fn part(self, value: f64, step: u8) -> u32 {
        let share = (value - self.min) / (self.max - self.min);
        (share * (1u64 << step) as f64) as u32
    }

    /// The part of this number.
    fn part_at(self, number: u32, step: u8) -> Self {
        let (parts, width) = ((1u64 << step) as f64, self.max - self.min);
        Self {
            min: self.min + (f64::from(number) / parts) * width,
            max: self.min + ((f64::from(number) + 1.0) / parts) * width,
        }
    }

    /// From the least of these to the greatest.
    fn around(values: impl Iterator<Item = f64>) -> Self {
        values.fold(Self { min: f64::INFINITY, max: f64::NEG_INFINITY }, |range, value| Self {
            min: range.min.min(value),
            max: range.max.max(value),
        })
    }

    fn width(self) -> f64 {
        self.max - self.min
    }

    /// How far it reaches from a value within, to the farther side.
    fn reach(self, from: f64) -> f64 {
        (self.max - from).max(from - self.min)
    }

    fn middle(self, within: Self) -> f64 {
        f64::midpoint(self.min, self.max).clamp(within.min, within.max)
    }
}

/// A place in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub longitude: f64,
    pub latitude: f64,
}

impl Place {
    /// Whether the projection has it.
    pub fn is_valid(self) -> bool {
        LONGITUDES.contains(self.longitude) && LATITUDES.contains(self.latitude)
    }

    /// The place that a score stands for: the middle of its smallest cell.
    pub fn of_score(score: f64) -> Self {
        Cell::of_bits(score as u64, STEP_MAX).middle()
    }

    /// The score of the place.
    pub fn score(self) -> f64 {
        Cell::of(self, STEP_MAX).bits() as f64
    }

    /// The middle of these places: the mean of the directions from the earth's centre in which they lie.
    pub fn middle_of(places: &[Self]) -> Self {
        let mut sum = [0.0; 3];
        for place in places {
            let (east, north) =
                (place.longitude * RADIANS_PER_DEGREE, place.latitude * RADIANS_PER_DEGREE);
            let direction = [north.cos() * east.cos(), north.cos() * east.sin(), north.sin()];
            for (sum, part) in sum.iter_mut().zip(direction) {
                *sum += part;
            }
        }
        let [x, y, z] = sum;
        Self {
            longitude: y.atan2(x) / RADIANS_PER_DEGREE,
            latitude: z.atan2(x.hypot(y)) / RADIANS_PER_DEGREE,
        }
    }

    /// Metres to another place on the sphere, by the haversine.
    pub fn distance(self, other: Self) -> f64 {
        let from = self.longitude * RADIANS_PER_DEGREE;
        let to = other.longitude * RADIANS_PER_DEGREE;
        let east = ((to - from) / 2.0).sin();
        if east == 0.0 {
            return self.distance_north(other);
        }
        let from = self.latitude * RADIANS_PER_DEGREE;
        let to = other.latitude * RADIANS_PER_DEGREE;
        let north = ((to - from) / 2.0).sin();
        // Each step rounded by itself, as in Redis: a fused one would give other digits.
        let half_chord = north * north + from.cos() * to.cos() * east * east;
        2.0 * EARTH_RADIUS * half_chord.sqrt().asin()
    }

    /// Metres to another place of the same longitude.
    fn distance_north(self, other: Self) -> f64 {
        let (from, to) = (self.latitude, other.latitude);
        EARTH_RADIUS * (to * RADIANS_PER_DEGREE - from * RADIANS_PER_DEGREE).abs()
    }

    /// The geohash of eleven digits, as geohash.org has it. The last digit would take more bits than
    /// there are and is 0.
    pub fn to_text(self) -> [u8; 11] {
        let longitude = LONGITUDES.part(self.longitude, STEP_MAX);
        let latitude = STANDARD_LATITUDES.part(self.latitude, STEP_MAX);
        let bits = Cell { longitude, latitude, step: STEP_MAX }.bits();
        let mut text = [DIGITS[0]; 11];
        for (at, digit) in text[..10].iter_mut().enumerate() {
            *digit =
                DIGITS[(bits >> (2 * u32::from(STEP_MAX) - 5 * (at as u32 + 1))) as usize & 31];
        }
        text
    }
}

/// One of `4^step` cells of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    longitude: u32,
    latitude: u32,
    step: u8,
}

impl Cell {
    fn of(place: Place, step: u8) -> Self {
        Self {
            longitude: LONGITUDES.part(place.longitude, step),
            latitude: LATITUDES.part(place.latitude, step),
            step,
        }
    }

    fn of_bits(bits: u64, step: u8) -> Self {
        Self { longitude: every_other(bits >> 1), latitude: every_other(bits), step }
    }

    fn bits(self) -> u64 {
        spread(self.longitude) << 1 | spread(self.latitude)
    }

    /// The scores of the places within: the first, and the first behind them.
    pub fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEP_MAX - self.step);
        ((self.bits() << shift) as f64, ((self.bits() + 1) << shift) as f64)
    }

    fn longitudes(self) -> Range {
        LONGITUDES.part_at(self.longitude, self.step)
    }

    fn latitudes(self) -> Range {
        LATITUDES.part_at(self.latitude, self.step)
    }

    fn middle(self) -> Place {
        Place {
            longitude: self.longitudes().middle(LONGITUDES),
            latitude: self.latitudes().middle(LATITUDES),
        }
    }

    /// The cell so many cells to the east and to the north, around the map's edges.
    fn neighbour(self, east: i32, north: i32) -> Self {
        let moved = |number: u32, by: i32| match by {
            // As it is: a place on the map's last edge is in a cell behind all others.
            0 => number,
            by => number.wrapping_add_signed(by) & ((1 << self.step) - 1),
        };
        Self {
            longitude: moved(self.longitude, east),
            latitude: moved(self.latitude, north),
            step: self.step,
        }
    }
}

/// Moves each bit to twice its place.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Takes every other bit, from the lowest on.
fn every_other(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

/// What an area looks like; extents in metres.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    Circle {
        radius: f64,
    },
    Box {
        width: f64,
        height: f64,
    },
    /// The corners, in order; straight lines on the map of degrees join them, the last with the first.
    Polygon {
        corners: Vec<Place>,
    },
}

/// What is looked for: a shape around a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area<'a> {
    pub centre: Place,
    pub shape: &'a Shape,
}

impl Area<'_> {
    /// The distance of a place within from the centre, in metres; None if it is outside.
    pub fn distance_within(self, place: Place) -> Option<f64> {
        match *self.shape {
            Shape::Circle { radius } => {
                let distance = self.centre.distance(place);
                (distance <= radius).then_some(distance)
            }
            Shape::Box { width, height } => {
                if place.distance_north(self.centre) > height / 2.0 {
                    return None;
                }
                let beside = Place { longitude: self.centre.longitude, ..place };
                if place.distance(beside) > width / 2.0 {
                    return None;
                }
                Some(self.centre.distance(place))
            }
            Shape::Polygon { ref corners } => {
                is_within(place, corners).then(|| self.centre.distance(place))
            }
        }
    }

    /// The degrees that the area covers, about: longitudes and latitudes.
    fn bounds(self) -> (Range, Range) {
        let (half_width, half_height) = match *self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
            Shape::Polygon { ref corners } => {
                return (
                    Range::around(corners.iter().map(|corner| corner.longitude)),
                    Range::around(corners.iter().map(|corner| corner.latitude)),
                );
            }
        };
        let Place { longitude, latitude } = self.centre;
        let north = half_height / EARTH_RADIUS / RADIANS_PER_DEGREE;
        // At the edge that is nearer to a pole, where a degree of longitude is shortest.
        let edge = if latitude < 0.0 { latitude - north } else { latitude + north };
        let east =
            half_width / EARTH_RADIUS / (edge * RADIANS_PER_DEGREE).cos() / RADIANS_PER_DEGREE;
        (
            Range { min: longitude - east, max: longitude + east },
            Range { min: latitude - north, max: latitude + north },
        )
    }

    /// How fine the cells are of which nine cover the area, by the circle around it.
    fn step(self) -> u8 {
        let mut radius = match *self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
            Shape::Polygon { .. } => return self.step_of_polygon(),
        };
        if radius == 0.0 {
            return STEP_MAX;
        }
        let mut step = -1;
        while radius < MERCATOR_MAX && step < i32::from(STEP_MAX) + 2 {
            radius *= 2.0;
            step += 1;
        }
        for narrow in NARROW_LATITUDES {
            step -= i32::from(self.centre.latitude.abs() > narrow);
        }
        step.clamp(1, i32::from(STEP_MAX)) as u8
    }

    /// The same of a polygon, by its degrees: it may reach around a pole, where metres say little.
    fn step_of_polygon(self) -> u8 {
        let (longitudes, latitudes) = self.bounds();
        let middle = self.inmost();
        let fits = |step: &u8| {
            let cells = (1_u64 << step) as f64;
            longitudes.reach(middle.longitude) <= LONGITUDES.width() / cells
                && latitudes.reach(middle.latitude) <= LATITUDES.width() / cells
        };
        // Four cells are the whole map, and each of them is beside the others.
        (2..=STEP_MAX).rev().find(fits).unwrap_or(1)
    }

    /// The place within the bounds that is nearest to the centre: that of a polygon may be outside.
    fn inmost(self) -> Place {
        match self.shape {
            Shape::Circle { .. } | Shape::Box { .. } => self.centre,
            Shape::Polygon { .. } => {
                let (longitudes, latitudes) = self.bounds();
                let Place { longitude, latitude } = self.centre;
                Place {
                    longitude: longitude.clamp(longitudes.min, longitudes.max),
                    latitude: latitude.clamp(latitudes.min, latitudes.max),
                }
            }
        }
    }

    /// The cells to look into, in Redis's order: the centre's own, then those around it that the area
    /// may reach.
    pub fn cells(self) -> impl Iterator<Item = Cell> {
        let (longitudes, latitudes) = self.bounds();
        let middle = self.inmost();
        let mut cell = Cell::of(middle, self.step());
        let falls_short = cell.neighbour(0, 1).latitudes().max < latitudes.max
            || cell.neighbour(0, -1).latitudes().min > latitudes.min
            || cell.neighbour(1, 0).longitudes().max < longitudes.max
            || cell.neighbour(-1, 0).longitudes().min > longitudes.min;
        if cell.step > 1 && falls_short {
            cell = Cell::of(middle, cell.step - 1);
        }
        // A cell that reaches beyond the area on one side has no use for its neighbours there.
        let useless = |east: i32, north: i32| {
            (north < 0 && cell.latitudes().min < latitudes.min)
                || (north > 0 && cell.latitudes().max > latitudes.max)
                || (east < 0 && cell.longitudes().min < longitudes.min)
                || (east > 0 && cell.longitudes().max > longitudes.max)
        };
        let mut cells: Vec<Cell> = Vec::with_capacity(AROUND.len());
        for (east, north) in AROUND {
            let neighbour = cell.neighbour(east, north);
            // On a map of few cells some are neighbours on both sides.
            let skipped = cell.step >= 2 && useless(east, north);
            if !skipped && !cells.contains(&neighbour) {
                cells.push(neighbour);
            }
        }
        cells.into_iter()
    }
}

/// Whether a line to the east crosses the edges between the corners an odd number of times.
fn is_within(place: Place, corners: &[Place]) -> bool {
    let mut within = false;
    let mut from = corners[corners.len() - 1];
    for &to in corners {
        if (from.latitude > place.latitude) != (to.latitude > place.latitude) {
            let share = (place.latitude - from.latitude) / (to.latitude - from.latitude);
            let crossing = from.longitude + share * (to.longitude - from.longitude);
            within ^= place.longitude < crossing;
        }
        from = to;
    }
    within
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_interleaved_and_taken_apart() {
        assert_eq!(spread(0b1011), 0b0100_0101);
        assert_eq!(spread(u32::MAX), 0x5555_5555_5555_5555);
        let mut dice = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            let number = dice.u32(..);
            assert_eq!(every_other(spread(number)), number);
        }
    }

    #[test]
    fn a_place_comes_back_within_a_metre() {
        let mut dice = fastrand::Rng::with_seed(2);
        for _ in 0..1000 {
            let place = Place {
                longitude: dice.f64() * 360.0 - 180.0,
                latitude: dice.f64() * 170.0 - 85.0,
            };
            assert!(place.distance(Place::of_score(place.score())) < 1.0, "{place:?}");
        }
    }

    /// No place within an area is outside its cells, however near to a pole or to the date line
    /// short of crossing it.
    #[test]
    fn cells_cover_the_area() {
        let mut dice = fastrand::Rng::with_seed(3);
        let mut within = 0;
        for _ in 0..20_000 {
            let centre =
                Place { longitude: dice.f64() * 100.0, latitude: dice.f64() * 130.0 - 65.0 };
            let extent = 10f64.powf(dice.f64() * 5.0 + 1.0);
            let degrees = extent / 111_000.0;
            let beside = |dice: &mut fastrand::Rng| Place {
                longitude: centre.longitude + (dice.f64() - 0.5) * 2.0 * degrees,
                latitude: (centre.latitude + (dice.f64() - 0.5) * 2.0 * degrees).clamp(-85.0, 85.0),
            };
            let shape = match dice.u8(..3) {
                0 => Shape::Circle { radius: extent },
                1 => Shape::Box { width: extent, height: extent * dice.f64() },
                _ => Shape::Polygon {
                    corners: (0..dice.u8(3..8)).map(|_| beside(&mut dice)).collect(),
                },
            };
            let centre = match &shape {
                Shape::Polygon { corners } => Place::middle_of(corners),
                Shape::Circle { .. } | Shape::Box { .. } => centre,
            };
            let area = Area { centre, shape: &shape };
            let place = beside(&mut dice);
            if place.is_valid() && area.distance_within(place).is_some() {
                within += 1;
                let score = place.score();
                let found = area.cells().any(|cell| {
                    let (first, behind) = cell.scores();
                    (first..behind).contains(&score)
                });
                assert!(found, "{area:?} {place:?}");
            }
        }
        assert!(within > 5_000, "{within}");
    }

    /// Corners all around the map have their middle anywhere, even at a pole.
    #[test]
    fn cells_cover_polygons_of_any_extent() {
        let mut dice = fastrand::Rng::with_seed(4);
        let anywhere = |dice: &mut fastrand::Rng| Place {
            longitude: dice.f64() * 360.0 - 180.0,
            latitude: dice.f64() * 170.0 - 85.0,
        };
        let mut within = 0;
        for _ in 0..5_000 {
            let corners: Vec<Place> = (0..dice.u8(3..8)).map(|_| anywhere(&mut dice)).collect();
            let (centre, shape) = (Place::middle_of(&corners), Shape::Polygon { corners });
            let area = Area { centre, shape: &shape };
            let place = anywhere(&mut dice);
            if area.distance_within(place).is_some() {
                within += 1;
                let score = place.score();
                let holds = |cell: Cell| (cell.scores().0..cell.scores().1).contains(&score);
                assert!(area.cells().any(holds), "{area:?} {place:?}");
            }
        }
        assert!(within > 500, "{within}");
    }
}
