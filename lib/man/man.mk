# SPDX-License-Identifier: MIT
#
# The man pages, in mdoc. A page may name several functions; each further name becomes a link to it.

.PHONY: install-man
install-man:
	for page in lib/man/*.[1-9]; do \
		directory=$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}; \
		install -D -m 644 -t $$directory $$page || exit; \
		for name in $$(sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([^ ]*\) *,*$$/\1/p' $$page); do \
			[ $$name.$${page##*.} = $${page##*/} ] || \
				ln -sf $${page##*/} $$directory/$$name.$${page##*.} || exit; \
		done; \
	done
