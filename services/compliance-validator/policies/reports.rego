# Reports of people about possible wrongdoing: no report is closed as spam
# without a person, and no finding above low severity is left to a machine.
package probity.reports

high := 3

critical := 4

deny contains {"rule": "serious-finding", "message": message} if {
	some finding in input.findings
	finding.severity_rank >= high
	message := sprintf("%s is a finding of %s severity: %s", [finding.rule, finding.severity, finding.explanation])
}

review contains {"rule": "medium-finding", "message": message} if {
	some finding in input.findings
	finding.severity_rank == 2
	message := sprintf("%s is a finding of medium severity: %s", [finding.rule, finding.explanation])
}

review contains {"rule": "more-findings", "message": message} if {
	unseen := input.finding_count - count(input.findings)
	unseen > 0
	message := sprintf("%d more findings are not in the list this policy was given", [unseen])
}

review contains {"rule": "perhaps-spam", "message": message} if {
	input.spam.band in {"unsure", "spam"}
	message := sprintf("the triage says %s (probability %.2f), and a person must read a report before it is closed", [
		input.spam.band,
		input.spam.probability,
	])
}

review contains {"rule": "not-triaged", "message": "the report was not triaged, so a person must read it"} if {
	not input.spam.band in {"ham", "unsure", "spam"}
}

four_eyes if {
	some finding in input.findings
	finding.severity_rank >= critical
}

actions contains "notify" if count(deny) > 0

actions contains "escalate" if count(deny) > 0
