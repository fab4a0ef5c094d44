//! The Grafana dashboards, a file a board.
//!
//! A query names only metrics of `docs/metrics.md`, so that a renamed metric does
//! not leave an empty panel behind; `make deploy-check` also runs every query on a
//! Prometheus that scrapes the running platform.

mod business;
mod engine;
mod infrastructure;
mod integration;
mod services;

use super::panels::Board;

/// Every board.
pub(super) const ALL: [&Board; 5] =
    [&services::BOARD, &business::BOARD, &integration::BOARD, &engine::BOARD, &infrastructure::BOARD];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn boards_and_panels_have_names_of_their_own() {
        let mut seen = BTreeSet::new();
        for board in ALL {
            assert!(seen.insert(board.uid.to_owned()), "{}", board.uid);
            for panel in board.panels {
                assert!(seen.insert(format!("{}/{}", board.uid, panel.title)), "{}", panel.title);
            }
        }
    }

    #[test]
    fn a_board_is_json_with_a_query_in_every_panel() {
        for board in ALL {
            let text = board.json().unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            for panel in value["panels"].as_array().unwrap() {
                assert!(
                    panel["targets"][0]["expr"].as_str().is_some_and(|query| !query.is_empty()),
                    "{panel}"
                );
                assert!(panel["gridPos"]["x"].as_u64().unwrap() < 24);
            }
        }
    }
}
