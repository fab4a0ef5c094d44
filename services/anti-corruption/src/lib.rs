//! Red flags in tenders, payments and reports, and name screening.
