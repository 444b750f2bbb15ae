# SPDX-License-Identifier: GPL-2.0-only
#
# What a test of the kernel's said, beside the table: awk -v test= -v kernel= -v entries= -f judge.awk TABLE
# OUTPUT prints KTAP. A sub-test passes, unless the table has a row for it; anything else is a failure, and so
# are a row that nothing agrees with and a test that did not come to its end.

function said(ok, what, more) {
	gsub(/[^A-Za-z0-9_.,+-]+/, "_", what)
	gsub(/^_+|_+$/, "", what)
	print (ok ? "ok" : "not ok") " - kernel_mm." name "." what (more ? " " more : "")
}

# Whether a row is for this machine: "any", or a kernel, a size of entries, or both.
function here(where, words, n, i) {
	n = split(where, words, " ")
	for (i = 1; i <= n; i++)
		if (words[i] != "any" && words[i] != kernel && words[i] != entries)
			return 0
	return 1
}

BEGIN {
	FS = " [|] "
	program = name = test
	sub(/ .*/, "", program)
	sub(/ -S -m 8/, "", name)
	gsub(/ /, "_", name)
}

FILENAME == ARGV[1] {
	if (/^(fails|skips|ends|refused) [|] / && $2 == program && here($3)) {
		verdict[++rows] = $1
		pattern[rows] = $4
		why[rows] = $5
	}
	next
}

# Some lines lack their end.
{
	gsub(/(not )?ok [0-9]+ /, "\n&")
	gsub(/not \n/, "\nnot ")
	sub(/^\n+/, "")
	nr = split($0, line, "\n")
	for (i = 1; i <= nr; i++)
		take(line[i])
}

function take(text, i, what, result) {
	for (i = 1; i <= rows; i++)
		if ((verdict[i] == "ends" || verdict[i] == "refused") && text ~ pattern[i])
			seen[i]++
	if (text ~ /^1\.\.[0-9]+/) {
		plan = substr(text, 4) + 0
		planned = 1
	} else if (text ~ /^# *\[(RUN|INFO)\] /) {
		context = text
		sub(/^# *\[[A-Z]*\] /, "", context)
	} else if (text ~ /^(not )?ok [0-9]+/) {
		result = text ~ /^not|# XFAIL/ ? "fails" : text ~ /# SKIP/ ? "skips" : "passes"
		what = text
		sub(/^(not )?ok [0-9]+ *(- )?(# (SKIP|XFAIL) )?/, "", what)
		judge(context (context ? ": " : "") what, result)
	} else if (text ~ /^test +[0-9]+ PASSED/) {
		judge(substr(text, 1, index(text, " PASSED") - 1), "passes")
	}
}

function judge(what, result, i, expected) {
	results++
	if (times[what]++)
		what = what " (" times[what] ")"
	expected = "passes"
	for (i = 1; i <= rows; i++)
		if ((verdict[i] == "fails" || verdict[i] == "skips") && what ~ pattern[i]) {
			expected = verdict[i]
			break
		}
	if (result == expected && i <= rows)
		seen[i]++
	else if (result == expected)
		said(1, what)
	else
		said(0, what, result ", and " expected " by the table")
}

END {
	for (i = 1; i <= rows; i++) {
		if (!seen[i])
			said(0, verdict[i] ":_" pattern[i], "nothing is so, though the table has it")
		else if (verdict[i] == "skips")
			said(1, "skips:_" pattern[i], "# SKIP " seen[i] " sub-tests: " why[i])
		else
			said(1, verdict[i] "_as_it_must:_" pattern[i], verdict[i] == "fails" ? "(" seen[i] ")" : "")
		ended += verdict[i] == "ends" && seen[i]
		refused += verdict[i] == "refused" && seen[i]
	}
	if (refused ? results : !ended && !(planned && results == plan))
		said(0, "comes_to_its_end", results + 0 " of " (planned ? plan : "?") " sub-tests")
	else if (!refused)
		said(1, "comes_to_its_end")
}
