// The labels of an unpacked archive, and the temperature by which its logits are divided before the softmax.

#pragma once

#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

// index_to_name.json has one label a line, as in  "3": "Dairy produce",  and everything else escaped.
inline std::vector<std::string> read_labels(const std::string& file) {
  std::ifstream lines(file);
  std::vector<std::string> labels;
  for (std::string line; std::getline(lines, line);) {
    const auto separator = line.find("\": \"");
    const auto end = line.rfind('"');
    if (separator != std::string::npos) labels.push_back(line.substr(separator + 4, end - separator - 4));
  }
  if (labels.empty()) throw std::runtime_error(file + ": no labels; is this an unpacked archive of marwright?");
  return labels;
}

// setup_config.json has one setting a line, as in  "temperature": 0.91,
inline double read_temperature(const std::string& file) {
  std::ifstream lines(file);
  const std::string key = "\"temperature\": ";
  for (std::string line; std::getline(lines, line);) {
    const auto found = line.find(key);
    if (found != std::string::npos) return std::stod(line.substr(found + key.size()));
  }
  throw std::runtime_error(file + ": no temperature; is this an unpacked archive of marwright?");
}
