# The licences that packages of a container definition name most, by their SPDX identifiers.
let
  license = free: shortName: spdxId: fullName: {
    inherit
      shortName
      spdxId
      fullName
      free
      ;
    deprecated = false;
    redistributable = free;
    url = "https://spdx.org/licenses/${spdxId}.html";
  };
  free = license true;
in
{
  agpl3Only = free "agpl3Only" "AGPL-3.0-only" "GNU Affero General Public License v3.0 only";
  agpl3Plus = free "agpl3Plus" "AGPL-3.0-or-later" "GNU Affero General Public License v3.0 or later";
  asl20 = free "asl20" "Apache-2.0" "Apache License 2.0";
  boost = free "boost" "BSL-1.0" "Boost Software License 1.0";
  bsd0 = free "bsd0" "0BSD" "BSD Zero Clause License";
  bsd2 = free "bsd2" "BSD-2-Clause" "BSD 2-clause \"Simplified\" License";
  bsd3 = free "bsd3" "BSD-3-Clause" "BSD 3-clause \"New\" or \"Revised\" License";
  cc0 = free "cc0" "CC0-1.0" "Creative Commons Zero v1.0 Universal";
  cc-by-40 = free "cc-by-40" "CC-BY-4.0" "Creative Commons Attribution 4.0";
  cc-by-sa-40 = free "cc-by-sa-40" "CC-BY-SA-4.0" "Creative Commons Attribution Share Alike 4.0";
  epl20 = free "epl20" "EPL-2.0" "Eclipse Public License 2.0";
  eupl12 = free "eupl12" "EUPL-1.2" "European Union Public License 1.2";
  gpl2Only = free "gpl2Only" "GPL-2.0-only" "GNU General Public License v2.0 only";
  gpl2Plus = free "gpl2Plus" "GPL-2.0-or-later" "GNU General Public License v2.0 or later";
  gpl3Only = free "gpl3Only" "GPL-3.0-only" "GNU General Public License v3.0 only";
  gpl3Plus = free "gpl3Plus" "GPL-3.0-or-later" "GNU General Public License v3.0 or later";
  isc = free "isc" "ISC" "Internet Systems Consortium License";
  lgpl21Only = free "lgpl21Only" "LGPL-2.1-only" "GNU Lesser General Public License v2.1 only";
  lgpl21Plus = free "lgpl21Plus" "LGPL-2.1-or-later" "GNU Lesser General Public License v2.1 or later";
  lgpl3Only = free "lgpl3Only" "LGPL-3.0-only" "GNU Lesser General Public License v3.0 only";
  lgpl3Plus = free "lgpl3Plus" "LGPL-3.0-or-later" "GNU Lesser General Public License v3.0 or later";
  mit = free "mit" "MIT" "MIT License";
  mpl20 = free "mpl20" "MPL-2.0" "Mozilla Public License 2.0";
  ofl = free "ofl" "OFL-1.1" "SIL Open Font License 1.1";
  openssl = free "openssl" "OpenSSL" "OpenSSL License";
  postgresql = free "postgresql" "PostgreSQL" "PostgreSQL License";
  psfl = free "psfl" "Python-2.0" "Python Software Foundation License version 2";
  unlicense = free "unlicense" "Unlicense" "The Unlicense";
  zlib = free "zlib" "Zlib" "zlib License";
}
