// Steps from older schema versions to the current one. Private.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

namespace assay::results::detail {

// Brings the tables from `version` to kSchemaVersion and renews the views, inside the caller's
// transaction, with foreign keys not enforced.
void migrate(SQLite::Database& database, int version);

}  // namespace assay::results::detail
