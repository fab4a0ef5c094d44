# Payments: what must be held, and what a person must look at first.
#
# Facts it reads: total_amount (total_amount_EUR, total_amount_USD… where there
# is more than one currency), watchlists_searched.
package probity.payments

# A file of payments above this asks for a person, in whatever currency.
total_limit := "10000000"

# Red flags that weigh more together than alone: payments split to stay below a
# limit, and others that keep just below it.
dangerous_pairs := {{"PAY-BELOW-LIMIT", "PAY-SPLIT"}}

# Payees found on a watchlist.
watchlist_rules := {"PAY-SANCTIONED"}

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
	message := sprintf("a payee has the name of somebody on a watchlist: %s", [finding.explanation])
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

# Each currency has its own total.
totals[name] := amount if {
	some name, amount in input.facts
	startswith(name, "total_amount")
}

review contains {"rule": "large-total", "message": message} if {
	some amount in totals
	decimal.is_valid(amount)
	decimal.compare(amount, total_limit) > 0
	message := sprintf("the payments come to %s; above %s a person looks first", [amount, total_limit])
}

review contains {"rule": "total-unreadable", "message": message} if {
	some name, amount in totals
	not decimal.is_valid(amount)
	message := sprintf("%s is %q, which is no decimal amount, so the limit cannot be checked", [name, amount])
}

# For the reader alone: an empty list of watchlists decides nothing.
note contains {"rule": "no-watchlist", "message": "no watchlist is loaded, so payees were not screened"} if {
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

actions contains "hold_payment" if count(deny) > 0

actions contains "notify" if count(deny) > 0

actions contains "escalate" if four_eyes
