/* The journal's name in its directory, for those who write and who read it. */
#ifndef PH_LEDGER_JOURNAL_NAME_H
#define PH_LEDGER_JOURNAL_NAME_H

#define PH_JOURNAL_NAME "journal.jsonl"

#endif
