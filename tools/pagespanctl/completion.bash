# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Completion of pagespanctl's commands and options.

_pagespanctl() {
	local word=$2 previous=$3 command='' choices='' i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--root | --color) i=$((i + 1)) ;;
		-*) ;;
		*) command=${COMP_WORDS[i]}; break ;;
		esac
	done

	case $previous in
	--svg) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
	--root) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
	--color) choices='auto always never' ;;
	--address | -d | -n) return ;;
	*)
		case $command in
		'') choices='stat map top clients users reserve bench doctor --root --color --help --version' ;;
		stat | clients | users) choices='--json --help' ;;
		map) choices='--svg --help' ;;
		top) choices='-d -n --help' ;;
		reserve) choices='--address --by-name --install --check --remove --help' ;;
		*) choices='--help' ;;
		esac ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}

complete -F _pagespanctl pagespanctl
