//! Statements over several rows, in few sizes, so that each stays prepared and no
//! database meets its limit of arguments.

/// Rows a statement.
const SIZES: [usize; 4] = [128, 32, 8, 1];

/// The items in groups of these sizes, the largest first.
pub(crate) fn chunks<T>(items: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rest.len())?;
        let (chunk, later) = rest.split_at(size);
        rest = later;
        Some(chunk)
    })
}

/// `$first, $first+1, …`
pub(crate) fn list(first: usize, count: usize) -> String {
    let places: Vec<_> = (first..first + count).map(|n| format!("${n}")).collect();
    places.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_one_chunk() {
        for len in [0, 1, 7, 8, 9, 127, 128, 300] {
            let items: Vec<_> = (0..len).collect();
            let back: Vec<_> = chunks(&items).flatten().copied().collect();
            assert_eq!(back, items);
            assert!(chunks(&items).all(|chunk| SIZES.contains(&chunk.len())));
        }
    }

    #[test]
    fn places_are_numbered_through() {
        assert_eq!(list(3, 2), "$3, $4");
    }
}
