//! Time as lengths: ticks of an axis, and durations people can read.

use probity_types::Micros;

/// Steps an axis may have, in microseconds: round numbers of what people count in.
const STEPS: [i64; 40] = [
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
    3_600_000_000,
    7_200_000_000,
    21_600_000_000,
    43_200_000_000,
    86_400_000_000,
    172_800_000_000,
    604_800_000_000,
    1_209_600_000_000,
    2_592_000_000_000,
    7_776_000_000_000,
    15_552_000_000_000,
    31_536_000_000_000,
];
const UNITS: [(i64, &str); 6] = [
    (86_400_000_000, "d"),
    (3_600_000_000, "h"),
    (60_000_000, "min"),
    (1_000_000, "s"),
    (1_000, "ms"),
    (1, "µs"),
];

/// From points in time to places on a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) from: Micros,
    pub(super) to: Micros,
    /// Where the line begins, and how long it is.
    pub(super) start: f64,
    pub(super) width: f64,
}

impl Scale {
    /// The place of a point in time; those outside stand at an end.
    pub(super) fn x(&self, at: Micros) -> f64 {
        let (span, since) = (self.span(), at.0.saturating_sub(self.from.0).clamp(0, self.span()));
        #[allow(clippy::cast_precision_loss)] // a place on a picture, not a time
        let share = since as f64 / span as f64;
        self.start + share * self.width
    }

    fn span(&self) -> i64 {
        self.to.0.saturating_sub(self.from.0).max(1)
    }

    /// At most about eight ticks at round distances from the start, each with its label.
    pub(super) fn ticks(&self) -> Vec<(Micros, String)> {
        let least = self.span() / 8;
        let years = (least / 31_536_000_000_000 + 1).saturating_mul(31_536_000_000_000);
        let step = STEPS.into_iter().find(|step| *step >= least).unwrap_or(years);
        let tick = |n: i64| {
            let offset = step.saturating_mul(n);
            let label = if n == 0 { "0".to_owned() } else { format!("+{}", duration(offset)) };
            (offset <= self.span()).then(|| (Micros(self.from.0.saturating_add(offset)), label))
        };
        (0..=9).map_while(tick).collect()
    }
}

/// A duration in its two largest units, such as `1 h 30 min`, or with decimals below a minute.
pub(super) fn duration(micros: i64) -> String {
    let micros = micros.max(0);
    let Some(place) = UNITS.iter().position(|(size, _)| micros >= *size) else { return "0 s".to_owned() };
    let (size, unit) = UNITS[place];
    if place < 3 {
        let (next_size, next) = UNITS[place + 1];
        let rest = micros % size / next_size;
        let more = if rest == 0 { String::new() } else { format!(" {rest} {next}") };
        return format!("{} {unit}{more}", micros / size);
    }
    let hundredths = micros.saturating_mul(100) / size;
    let (whole, part) = (hundredths / 100, hundredths % 100);
    match part {
        0 => format!("{whole} {unit}"),
        part if part % 10 == 0 => format!("{whole}.{} {unit}", part / 10),
        part => format!("{whole}.{part:02} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_short_and_true() {
        let check = |micros: i64, expect: &str| assert_eq!(duration(micros), expect);
        check(-5, "0 s");
        check(0, "0 s");
        check(7, "7 µs");
        check(1_250, "1.25 ms");
        check(1_500_000, "1.5 s");
        check(59_999_999, "59.99 s");
        check(60_000_000, "1 min");
        check(5_400_000_000, "1 h 30 min");
        check(90_000_000_000, "1 d 1 h");
    }

    proptest! {
        #[test]
        fn an_axis_has_few_ticks_in_order_inside_it(from in -1_000_000_i64..1_000_000, span in 0_i64..i64::MAX / 4) {
            let scale = Scale { from: Micros(from), to: Micros(from + span), start: 100.0, width: 800.0 };
            let places: Vec<_> = scale.ticks().iter().map(|(at, _)| scale.x(*at)).collect();
            prop_assert!((1..=10).contains(&places.len()), "{places:?}");
            prop_assert!(span < 8 || places.len() > 1, "{places:?}");
            prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(places.iter().all(|x| (100.0..=900.0).contains(x)));
        }
    }
}
