//! Rectangles whose areas are sizes: squarified treemaps, after Bruls, Huizing and van Wijk.

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rectangle {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Rectangle {
    /// The same without an edge of this width, as far as it is that large.
    pub(crate) fn within(self, edge: f64, top: f64) -> Self {
        Self {
            x: self.x + edge,
            y: self.y + top,
            width: (self.width - 2.0 * edge).max(0.0),
            height: (self.height - top - edge).max(0.0),
        }
    }
}

/// Divides a rectangle among sizes, which must be sorted with the largest first.
pub(crate) fn squarify(sizes: &[f64], into: Rectangle) -> Vec<Rectangle> {
    let total: f64 = sizes.iter().sum();
    if total <= 0.0 || into.width <= 0.0 || into.height <= 0.0 {
        return sizes.iter().map(|_| Rectangle { width: 0.0, height: 0.0, ..into }).collect();
    }
    let scale = into.width * into.height / total;
    let areas: Vec<f64> = sizes.iter().map(|size| size * scale).collect();
    let (mut places, mut rest, mut start) = (Vec::with_capacity(areas.len()), into, 0);
    while start < areas.len() {
        let side = rest.width.min(rest.height);
        let mut end = start + 1;
        while end < areas.len() && worst(&areas[start..=end], side) <= worst(&areas[start..end], side) {
            end += 1;
        }
        rest = row(&areas[start..end], rest, &mut places);
        start = end;
    }
    places
}

/// The worst ratio of sides in a row along a side.
fn worst(areas: &[f64], side: f64) -> f64 {
    let sum: f64 = areas.iter().sum();
    let (largest, smallest) = areas.iter().fold((0.0_f64, f64::MAX), |(l, s), area| (l.max(*area), s.min(*area)));
    (side * side * largest / (sum * sum)).max(sum * sum / (side * side * smallest.max(f64::MIN_POSITIVE)))
}

/// Lays a row along the shorter side, and gives what is left.
fn row(areas: &[f64], rest: Rectangle, places: &mut Vec<Rectangle>) -> Rectangle {
    let sum: f64 = areas.iter().sum();
    let mut at = 0.0;
    if rest.width >= rest.height {
        let width = if rest.height > 0.0 { sum / rest.height } else { 0.0 };
        for area in areas {
            let height = if width > 0.0 { area / width } else { 0.0 };
            places.push(Rectangle { x: rest.x, y: rest.y + at, width, height });
            at += height;
        }
        return Rectangle { x: rest.x + width, width: (rest.width - width).max(0.0), ..rest };
    }
    let height = sum / rest.width;
    for area in areas {
        let width = if height > 0.0 { area / height } else { 0.0 };
        places.push(Rectangle { x: rest.x + at, y: rest.y, width, height });
        at += width;
    }
    Rectangle { y: rest.y + height, height: (rest.height - height).max(0.0), ..rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_in_proportion_and_stay_inside() {
        let into = Rectangle { x: 10.0, y: 20.0, width: 600.0, height: 400.0 };
        let sizes = [6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0, 0.0];
        let places = squarify(&sizes, into);
        assert_eq!(places.len(), sizes.len());
        for (place, size) in places.iter().zip(sizes) {
            assert!((place.width * place.height - size * 10_000.0).abs() < 1.0, "{place:?}");
            assert!(place.x >= 9.99 && place.x + place.width <= 610.01, "{place:?}");
            assert!(place.y >= 19.99 && place.y + place.height <= 420.01, "{place:?}");
        }
        assert!(squarify(&[], into).is_empty());
    }
}
