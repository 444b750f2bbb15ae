#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What lisp promises, a KTAP line each.  usage: lisp_test.sh LISP
lisp=$(realpath "${1:?usage: lisp_test.sh LISP}")
sources=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib/examples/test.sh
. "$sources/test.sh"

# prints PROGRAM EXPECTED: on both memories
prints() {
	local program
	printf '%s' "$1" >text
	printf '%s\n' "$2" >expected
	for program in "$lisp" "$lisp-malloc"; do
		"$program" text >out
		diff expected out
	done
}

# refuses PROGRAM REASON: on both memories
refuses() {
	local program
	printf '%s' "$1" >text
	for program in "$lisp" "$lisp-malloc"; do
		run "$program" text
		expect 1 "$2"
	done
}

# reported WORD: a number of what -v said.
reported() {
	sed -n "s/.* \([0-9]*\) $1.*/\1/p" err
}

# A smaller wave.
waves() {
	sed 's/(wave 4 15)/(wave 4 10)/; s/20000/2000/; s/10000/1000/; s/19999/1999/' "$sources/lisp/waves.lisp"
}

programs_compute() {
	prints "(print (+ 1 (* 2 -3))) (print '(a (b . c) () #t #f)) (print (quotient 7 -2)) (print (remainder 7 -2))" \
		$'-5\n(a (b . c) () #t #f)\n-3\n1'
	prints '(define (f n) (if (= n 0) 1 (* n (f (- n 1))))) (print (f 15))' 1307674368000
	prints "(define x 1) (define (get) x) (let ((x 2) (y x)) (print (+ (get) (* 10 (+ x y))))) (set! x 5) (print (get))" \
		$'31\n5'
	prints "(define (counter) (let ((n 0)) (lambda () (begin (set! n (+ n 1)) n))))
		(define a (counter)) (define b (counter)) (a) (a) (b) (print (cons (a) (b)))" '(3 . 2)'
	prints "(define p (cons 1 2)) (set-car! p p) (print (eq? (car p) p)) (print (null? '())) (print (not 0))" \
		$'#t\n#t\n#f'
	prints '(print (lambda (x) x)) (print car) ; a comment' $'#closure\n#builtin'
	prints '' '' || [ ! -s out ]
}

calls_at_the_end_need_no_memory() {
	printf '(define (loop n) (if (= n 0) (print 0) (loop (- n 1)))) (loop 200000)' >text
	PAGESPAN_MEMORY_MB=2 run "$lisp" text
	[ "$status" = 0 ]
}

the_heap_grows_and_gives_pages_back() {
	waves | sed 's/(wave 4 10)/(wave 4 13)/' >text
	run "$lisp" -v text
	cat err
	[ "$status" = 0 ]
	[ "$(reported 'given back')" -gt 0 ]
	[ "$(reported 'pages, [0-9]* at')" -gt $((2 * $(reported 'at the end'))) ]
}

both_memories_write_the_same() {
	local program
	waves >small
	for program in small "$sources/lisp/queens.lisp"; do
		"$lisp" "$program" >first
		"$lisp-malloc" "$program" >second
		[ -s first ]
		cmp first second
	done
}

# Freed pages fault in debug mode.
nothing_reads_a_space_that_was_left() {
	waves >text
	PAGESPAN_DEBUG=1 "$lisp" text | cmp - <("$lisp-malloc" text)
	valgrind -q --leak-check=full --error-exitcode=9 "$lisp-malloc" "$sources/lisp/queens.lisp"
}

what_is_wrong_in_a_program_is_said() {
	refuses '(car 1)' 'not a pair'
	refuses '(+ 1 #t)' 'not a number'
	refuses '(1 2)' 'not a function'
	refuses '(f 1)' 'f is not defined'
	refuses '(set! f 1)' 'f is not defined'
	refuses '(define 1 2)' 'not a name'
	refuses '((lambda (x) x))' 'a function of 1 parameters is called with 0'
	refuses '(cons 1)' 'cons takes 2 arguments'
	refuses '(quotient 1 0)' 'division by zero'
	refuses '(print (+ 1 2)' 'a list without an end'
	refuses ')' 'a closing bracket too many'
	refuses "(print ')" 'nothing is quoted'
	refuses '(quote)' 'not a pair'
	refuses '(+ 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8)' 'more than 16 arguments'
	refuses "(let ($(printf '(a 1) %.0s' {1..17})) a)" 'more than 16 bindings'
	refuses "$(head -c 100000 /dev/zero | tr '\0' '(')" 'nested too deeply'
}

deep_lists_are_printed_as_far_as_it_goes() {
	printf "(define (deep n l) (if (= n 0) l (deep (- n 1) (cons l '())))) (print (deep 100000 '()))" >text
	run "$lisp" text
	[ "$status" = 0 ]
	grep -qF '...' out
}

a_heap_that_does_not_fit_is_an_error() {
	printf "(define (grow l) (grow (cons 1 l))) (print 'begun) (grow '())" >text
	PAGESPAN_MEMORY_MB=8 run "$lisp" text
	expect 1 'lisp: out of memory'
	[ "$(cat out)" = begun ]
	(
		ulimit -v 40000
		run "$lisp-malloc" text
		expect 1 'lisp: out of memory'
	)
}

files_that_cannot_be_used_are_errors() {
	run "$lisp" missing
	expect 1 'lisp: missing: No such file or directory'
	run "$lisp" .
	expect 1 'lisp: .: Is a directory'
	run "$lisp"
	expect 2 'usage:'
	echo '(print 1)' >text
	status=0
	"$lisp" text >/dev/full 2>err || status=$?
	expect 1 'No space left on device'
}

echo 'KTAP version 1'
check programs_compute
check calls_at_the_end_need_no_memory
check the_heap_grows_and_gives_pages_back
check both_memories_write_the_same
check nothing_reads_a_space_that_was_left
check what_is_wrong_in_a_program_is_said
check deep_lists_are_printed_as_far_as_it_goes
check a_heap_that_does_not_fit_is_an_error
check files_that_cannot_be_used_are_errors
finish
