# Messages: plain spam closes by itself, everything doubtful goes to a person.
package probity.messages

high := 3

critical := 4

triaged := {"ham", "unsure", "spam"}

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
	input.spam.band == "unsure"
	message := sprintf("the triage is not sure whether it is spam (probability %.2f)", [input.spam.probability])
}

review contains {"rule": "not-triaged", "message": "the message was not triaged for spam"} if {
	not input.spam.band in triaged
}

# A machine may close this one without a person; compare reports.rego.
note contains {"rule": "spam", "message": message} if {
	input.spam.band == "spam"
	message := sprintf("the triage calls it spam (probability %.2f)", [input.spam.probability])
}

four_eyes if {
	some finding in input.findings
	finding.severity_rank >= critical
}

actions contains "notify" if count(deny) > 0

actions contains "escalate" if four_eyes
