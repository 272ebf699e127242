// What both programs have on their command line: an unpacked archive and the token ids of one text.

#pragma once

#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

// Calls classify(folder, ids) and returns the exit code: 2, with a sentence, for whatever goes wrong.
template <typename Classify>
int run_on_ids(const char* program, int argc, char** argv, Classify classify) {
  if (argc < 3) {
    std::cerr << "usage: " << program << " UNPACKED_ARCHIVE ID...\n";
    return 2;
  }
  try {
    std::vector<int64_t> ids;
    for (int at = 2; at < argc; ++at) ids.push_back(std::stoll(argv[at]));
    classify(argv[1], ids);
  } catch (const std::exception& error) {
    std::cerr << program << ": " << error.what() << "\n";
    return 2;
  }
  return 0;
}
