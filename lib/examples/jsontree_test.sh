#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What jsontree promises, a KTAP line each.  usage: jsontree_test.sh JSONTREE
jsontree=$(realpath "${1:?usage: jsontree_test.sh JSONTREE}")
# shellcheck source=lib/examples/test.sh
. "$(dirname "$0")/test.sh"

# converts TEXT EXPECTED: on both memories
converts() {
	local program
	printf '%s' "$1" >text
	printf '%s\n' "$2" >expected
	for program in "$jsontree" "$jsontree-malloc"; do
		"$program" text >out
		diff expected out
	done
}

# refuses TEXT REASON: on both memories; nothing is left behind
refuses() {
	printf '%b' "$1" >text
	run "$jsontree" text
	expect 1 "$2"
	run valgrind -q --leak-check=full --error-exitcode=9 "$jsontree-malloc" text
	expect 1 "$2"
}

members_are_put_in_order_each_document_on_a_line() {
	converts '{"b":1, "a" : { "z":[ ], "y":{} } } [1 ,2]
		null' '{"a":{"y":{},"z":[]},"b":1}
[1,2]
null'
}

equal_names_stay_in_their_order() {
	converts '{"a":1,"b":0,"a":2,"":3,"a":3}' '{"":3,"a":1,"a":2,"a":3,"b":0}'
}

texts_are_decoded_and_numbers_stay() {
	converts '["\u00e9\ud83d\ude00\/\"\\\n\u0001\u0000", -0, 1E+2, 0.10, 123456789012345678901234567890]' \
		'["é😀/\"\\\n\u0001\u0000",-0,1E+2,0.10,123456789012345678901234567890]'
}

what_python_reads_is_the_same_before_and_after() {
	python3 - "$jsontree" "$jsontree-malloc" <<-'PYTHON'
		import json, random, subprocess, sys
		source = random.Random(3)

		def value(depth):
		    kind = source.randrange(8 if depth < 6 else 5)
		    if kind == 0: return source.choice((None, True, False))
		    if kind == 1: return source.randrange(-10**12, 10**12)
		    if kind == 2: return source.random() * 10**source.randrange(-20, 20)
		    if kind < 5: return "".join(chr(source.choice((source.randrange(1, 128), source.randrange(0xa0, 0xd800),
		        source.randrange(0x10000, 0x110000)))) for _ in range(source.randrange(12)))
		    if kind == 5: return [value(depth + 1) for _ in range(source.randrange(9))]
		    return {f"{source.randrange(30)}": value(depth + 1) for _ in range(source.randrange(9))}

		documents = [value(0) for _ in range(3000)]
		with open("text", "w") as file:
		    for document in documents:
		        file.write(json.dumps(document, ensure_ascii=source.random() < 0.5, indent=source.choice((None, 1))) + "\n")
		outputs = [subprocess.run([program, "text"], capture_output=True, check=True).stdout for program in sys.argv[1:]]
		assert outputs[0] == outputs[1]
		lines = outputs[0].decode().split("\n")[:-1]
		assert [json.loads(line) for line in lines] == documents
		for line, document in zip(lines, documents):
		    if isinstance(document, dict):
		        assert list(json.loads(line)) == sorted(document)
	PYTHON
}

what_is_not_json_is_refused_with_its_line() {
	refuses '[1,\n2,\n}' 'text:3: not a number'
	refuses '[1 2]' 'an array or object without an end'
	refuses '{"a":1,"b"}' 'a member without a value'
	refuses '{"a":1,}' 'a member without a name'
	refuses '{"a":[1,{"b":"c"},x]}' 'not a number'
	refuses '"abc' 'a string without an end'
	refuses '"\001"' 'a control character'
	refuses '["\\q"]' 'not an escape sequence'
	refuses '["\\ud800"]' 'not an escape sequence'
	refuses '["\\udc00"]' 'not an escape sequence'
	refuses '["\\u12g4"]' 'not an escape sequence'
	refuses '01x' 'not a number'
	refuses '1.' 'not a number'
	refuses '-' 'not a number'
	refuses '1e' 'not a number'
	refuses 'nul' 'not a value'
	refuses '\0' 'not a number'
}

every_part_of_a_document_is_read_or_refused() {
	local whole='{"a":[1.5e-3,"\ud83d\ude00\\",{"b":null,"c":[true,false]}],"":"x"}' length
	for ((length = 0; length < ${#whole}; length++)); do
		printf '%s' "${whole:0:length}" >text
		run "$jsontree" text
		echo "$length: status $status"
		[ "$status" = $((length ? 1 : 0)) ]
	done
}

nesting_has_a_limit() {
	printf '%.0s[' {1..1000} >text
	printf '%.0s]' {1..1000} >>text
	"$jsontree" text | cmp - <(cat text; echo)
	head -c 10000000 /dev/zero | tr '\0' '[' >text
	run "$jsontree" text
	expect 1 'nested too deeply'
}

a_document_larger_than_the_memory_is_an_error() {
	{
		printf '["%s"' "$(head -c 3000 /dev/zero | tr '\0' x)"
		for _ in {1..2000}; do printf ',"%s"' "$(printf '%01000d' 7)"; done
		printf ']'
	} >text
	PAGESPAN_MEMORY_MB=1 run "$jsontree" text
	expect 1 'out of memory'
	PAGESPAN_MEMORY_MB=16 run "$jsontree" text
	[ "$status" = 0 ]
}

many_documents_take_the_memory_of_one() {
	for _ in {1..20000}; do printf '{"name":"%0100d","list":[1,2,3]}\n' 5; done >text
	PAGESPAN_MEMORY_MB=1 run "$jsontree" text
	[ "$status" = 0 ]
}

files_that_cannot_be_used_are_errors() {
	: >empty
	"$jsontree" empty >out
	[ ! -s out ]
	run "$jsontree" missing
	expect 1 'jsontree: missing: No such file or directory'
	run "$jsontree" .
	expect 1 'jsontree: .: '
	run "$jsontree"
	expect 2 'usage:'
	echo '[1]' >text
	status=0
	"$jsontree" text >/dev/full 2>err || status=$?
	expect 1 'No space left on device'
}

echo 'KTAP version 1'
check members_are_put_in_order_each_document_on_a_line
check equal_names_stay_in_their_order
check texts_are_decoded_and_numbers_stay
check what_python_reads_is_the_same_before_and_after
check what_is_not_json_is_refused_with_its_line
check every_part_of_a_document_is_read_or_refused
check nesting_has_a_limit
check a_document_larger_than_the_memory_is_an_error
check many_documents_take_the_memory_of_one
check files_that_cannot_be_used_are_errors
finish
