# SPDX-License-Identifier: MIT
#
# What the tests themselves are worth.

.PHONY: mutants

mutants: ## faults planted in the module and the library, each of which its test must notice (MUTANTS=pattern)
	@selftests/mutants/run $(MUTANTS)
