-- SPDX-License-Identifier: MIT
-- A ledger in memory: made, indexed, asked, changed and made smaller. SCALE is replaced.
CREATE TABLE account (id INTEGER PRIMARY KEY, name TEXT, balance INTEGER);
CREATE TABLE entry (id INTEGER PRIMARY KEY, account INTEGER, amount INTEGER, note TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300 * SCALE)
	INSERT INTO account SELECT i, printf('account %05d', i * 7919 % 65521), 0 FROM n;
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000 * SCALE)
	INSERT INTO entry SELECT i, 1 + i * 7919 % (300 * SCALE), i * 104729 % 20011 - 10000,
		substr(printf('%0*d', 50 + i % 300, i * 31), 1, 50 + i % 300) FROM n;
COMMIT;
CREATE INDEX entry_account ON entry (account, amount);
CREATE INDEX entry_note ON entry (note);
UPDATE account SET balance = (SELECT sum(amount) FROM entry WHERE account = account.id);
SELECT count(*), sum(balance), min(balance), max(balance) FROM account;
SELECT a.name, count(*), sum(e.amount) FROM account a JOIN entry e ON e.account = a.id
	GROUP BY a.name ORDER BY 3 DESC, 1 LIMIT 5;
SELECT substr(note, 1, 3) AS head, count(*), group_concat(length(note), '') LIKE '%99%' FROM entry
	GROUP BY head ORDER BY 2 DESC, 1 LIMIT 5;
DELETE FROM entry WHERE id % 3 = 0;
UPDATE entry SET note = note || note WHERE id % 5 = 0;
SELECT count(*), sum(length(note)) FROM entry;
PRAGMA integrity_check;
DROP TABLE entry;
VACUUM;
SELECT count(*) FROM account;
