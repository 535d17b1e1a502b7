#!/usr/bin/env python3
"""Writes category_data.inc and normalization_data.inc: the tokenizer's Unicode tables, as ranges.

The `tokenizers` library uses three versions of Unicode at once, and a tokenizer is exact only with
the same ones:
  general categories (regular expressions)   16.0
  numeric characters (the Digits splitter)   17.0
  NFC                                        9.0: what was encoded later has class 0, no composition

Source of the data: two versions of the Python package unicodedata2, each installed into a folder of
its own, and Perl's \\p{Present_In: 9.0} for the code points that Unicode 9.0 had assigned (Unicode
never changes the normalisation of an assigned code point, so 16.0 restricted to these is 9.0).

  pip install --target ucd16 unicodedata2==16.0.0
  pip install --target ucd17 unicodedata2==17.0.0
  ./generate_tables.py ucd16 ucd17
"""
import json
import subprocess
import sys

CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp "
              "Cc Cf Cs Co Cn").split()
LIMIT = 0x110000

COLLECT = r"""
import sys, json
sys.path.insert(0, sys.argv[1])
import unicodedata2 as u
points = [chr(c) for c in range(0x110000)]
nfc = {}
for c, ch in enumerate(points):
    if not 0xD800 <= c < 0xE000 and u.normalize('NFC', ch) != ch:
        nfc[c] = 1
json.dump({'version': u.unidata_version,
           'category': [u.category(ch) for ch in points],
           'combining': {c: u.combining(ch) for c, ch in enumerate(points) if u.combining(ch)},
           'decomposition': {c: u.decomposition(ch) for c, ch in enumerate(points)
                             if u.decomposition(ch) and not u.decomposition(ch).startswith('<')},
           'not_nfc': nfc}, sys.stdout)
"""


def collect(folder, version):
    data = json.loads(subprocess.run([sys.executable, "-c", COLLECT, folder], check=True,
                                     stdout=subprocess.PIPE).stdout)
    if data["version"] != version:
        sys.exit(f"{folder} holds Unicode {data['version']}, not {version}")
    return data


def assigned_in(version):
    """Code points that `version` had assigned."""
    text = subprocess.run(
        ["perl", "-e", r"no warnings; for (0..0x10FFFF) { print qq($_\n) "
         rf"if chr($_) =~ /\p{{Present_In: {version}}}/ }}"],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    return set(map(int, text.split()))


def ranges(values):
    """(first, last, value) of each maximal run of equal values."""
    out = []
    for point, value in values:
        if out and out[-1][2] == value and out[-1][1] == point - 1:
            out[-1][1] = point
        else:
            out.append([point, point, value])
    return out


def emit(file, name, comment, rows):
    file.write(f"\n// {comment}\n{name} = {{\n")
    line = "   "
    for row in rows:
        if len(line) + len(row) + 2 > 100:
            file.write(line + "\n")
            line = "   "
        line += f" {row},"
    file.write(line + "\n};\n")


def open_output(name):
    file = open(name, "w", encoding="ascii")
    file.write("// Written by generate_tables.py; do not edit.\n// clang-format off\n")
    return file


def main():
    ucd16 = collect(sys.argv[1], "16.0.0")
    ucd17 = collect(sys.argv[2], "17.0.0")
    known = assigned_in("9.0")

    file = open_output("category_data.inc")
    emit(file, "constexpr CategoryStart kCategories[]",
         "General_Category, Unicode 16.0: the category from this code point up to the next entry.",
         [f"{{0x{first:X}, {CATEGORIES.index(value)}}}"
          for first, _, value in ranges(enumerate(ucd16["category"]))])
    numeric = [(c, 0) for c in range(LIMIT)
               if ucd17["category"][c][0] == "N" and ucd16["category"][c][0] != "N"]
    lost = [c for c in range(LIMIT)
            if ucd16["category"][c][0] == "N" and ucd17["category"][c][0] != "N"]
    if lost:
        sys.exit("numeric in 16.0, not in 17.0: " + str(lost))
    emit(file, "constexpr PointRange kNumericSince17[]", "Nd, Nl or No in Unicode 17.0 only.",
         [f"{{0x{first:X}, 0x{last:X}}}" for first, last, _ in ranges(numeric)])
    file.close()
    file = open_output("normalization_data.inc")
    emit(file, "constexpr CombiningRange kCombining[]", "Canonical_Combining_Class, Unicode 9.0, not 0.",
         [f"{{0x{first:X}, 0x{last:X}, {value}}}" for first, last, value in ranges(
             (int(c), v) for c, v in ucd16["combining"].items() if int(c) in known)])
    rows = []
    for c, mapping in sorted((int(c), m) for c, m in ucd16["decomposition"].items()):
        if c not in known:
            continue
        parts = mapping.split() + ["0"]
        rows.append(f"{{0x{c:X}, 0x{int(parts[0], 16):X}, 0x{int(parts[1], 16):X}, "
                    f"{0 if str(c) in ucd16['not_nfc'] else 1}}}")
    emit(file, "constexpr Decomposition kDecompositions[]",
         "Canonical decompositions, Unicode 9.0, one step; last: 1 where the pair composes again.",
         rows)
    file.close()


main()
