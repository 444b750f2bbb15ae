# SPDX-License-Identifier: MIT
#
# What the tests themselves are worth.

.PHONY: mutants coverage promises

mutants: ## faults planted in the module and the library, each of which its test must notice (MUTANTS=pattern)
	@selftests/mutants/run $(if $(MUTANTS),'$(MUTANTS)')

coverage: ## which lines of the module and the library the tests run, and why not the others
	@selftests/coverage/run $(SUITES)

promises: ## what the last runs of the tests say, into the table of selftests/README.md
	@selftests/promises update
