// Which hosts a filter is about, so that an answer names what is missing of them and not of all others.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "query/coverage.h"
#include "query/filter.h"

namespace portbook {

// Those of `hosts` that a record which passes may be of, and whether translations that another host tells may have a part in what
// passes. Nothing where the filter names no host.
std::optional<AskedHosts> asked_hosts(const Filter& filter, const std::vector<std::string>& hosts);

}  // namespace portbook
