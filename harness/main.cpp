// assay: the program. Verbs live in harness/cli, one file each.
#include "harness/cli/verbs.h"

int main(int argc, char** argv) { return assay::harness::run_command_line(argc, argv); }
