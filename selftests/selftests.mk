# SPDX-License-Identifier: MIT
#
# What the tests themselves are worth.

.PHONY: mutants promises

mutants: ## faults planted in the module and the library, each of which its test must notice (MUTANTS=pattern)
	@selftests/mutants/run $(MUTANTS)

promises: ## what the last runs of the tests say, into the table of selftests/README.md
	@selftests/promises update
