# Procurement: what a tender must not show, and what a person must look at.
#
# Facts it reads: procurement_method, tender_value, award_value,
# watchlists_searched.
package probity.procurement

# A direct award above this asks for a person, in whatever currency.
direct_award_limit := "50000"

# Red flags that weigh more together than alone: a single bid after a period
# too short to write another one.
dangerous_pairs := {{"R003", "R018"}}

# Names found on a watchlist.
watchlist_rules := {"R046"}

high := 3

critical := 4

found contains finding.rule if some finding in input.findings

deny contains {"rule": "serious-finding", "message": message} if {
	some finding in input.findings
	finding.severity_rank >= high
	message := sprintf("%s is a finding of %s severity: %s", [finding.rule, finding.severity, finding.explanation])
}

deny contains {"rule": "watchlist-hit", "message": message} if {
	some finding in input.findings
	finding.rule in watchlist_rules
	message := sprintf("a party has the name of somebody on a watchlist: %s", [finding.explanation])
}

deny contains {"rule": "dangerous-pair", "message": message} if {
	some pair in dangerous_pairs
	count(pair - found) == 0
	message := sprintf("%s came together", [concat(" and ", pair)])
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

direct_award if input.facts.procurement_method == "direct"

# The larger of the published values counts.
published contains input.facts.tender_value

published contains input.facts.award_value

readable contains value if {
	some value in published
	decimal.is_valid(value)
}

review contains {"rule": "direct-award", "message": message} if {
	direct_award
	some value in readable
	decimal.compare(value, direct_award_limit) > 0
	message := sprintf("%s was awarded without competition; up to %s that needs no reason", [value, direct_award_limit])
}

review contains {
	"rule": "direct-award-value-unknown",
	"message": "an award without competition says no value, so the limit cannot be checked",
} if {
	direct_award
	count(readable) == 0
}

# For the reader alone: an empty list of watchlists decides nothing.
note contains {"rule": "no-watchlist", "message": "no watchlist is loaded, so names were not screened"} if {
	input.facts.watchlists_searched == "0"
}

four_eyes if {
	some finding in input.findings
	finding.severity_rank >= critical
}

four_eyes if {
	some finding in input.findings
	finding.rule in watchlist_rules
}

actions contains "notify" if count(deny) > 0

actions contains "escalate" if count(deny) > 0
