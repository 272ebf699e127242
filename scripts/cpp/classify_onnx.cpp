// Classifies one text, given as token ids, with an archive's ONNX module: no Python, no TorchServe, no PyTorch.
//
//   unzip -d archive model_store/pt_classifier.mar           (built with export.runtime: onnxruntime)
//   scripts/cpp/build_onnx.sh classify_onnx
//   ./classify_onnx archive 101 15315 5572 102
//
// prints the five best labels with their probabilities. Make the ids with the archive's tokenizer.json, for which
// the library `tokenizers` has bindings in most languages.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iostream>
#include <numeric>
#include <string>
#include <vector>

#include "command_line.h"
#include "labels.h"

std::vector<float> softmax(const float* logits, size_t count, float temperature) {
  const float largest = *std::max_element(logits, logits + count);
  std::vector<float> values(count);
  std::transform(logits, logits + count, values.begin(), [&](float logit) { return std::exp((logit - largest) / temperature); });
  const float sum = std::accumulate(values.begin(), values.end(), 0.0f);
  for (float& value : values) value /= sum;
  return values;
}

void classify(const std::string& folder, std::vector<int64_t> ids) {
  const auto labels = read_labels(folder + "/index_to_name.json");
  const Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "classify");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session(environment, (folder + "/model.onnx").c_str(), options);

  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const std::array<int64_t, 2> shape{1, static_cast<int64_t>(ids.size())};
  std::vector<int64_t> mask(ids.size(), 1);
  std::array<Ort::Value, 2> inputs{
      Ort::Value::CreateTensor<int64_t>(memory, ids.data(), ids.size(), shape.data(), shape.size()),
      Ort::Value::CreateTensor<int64_t>(memory, mask.data(), mask.size(), shape.data(), shape.size())};
  const std::array<const char*, 2> input_names{"input_ids", "attention_mask"};
  const char* output_name = "logits";
  const auto outputs = session.Run(Ort::RunOptions{}, input_names.data(), inputs.data(), inputs.size(), &output_name, 1);

  if (outputs[0].GetTensorTypeAndShapeInfo().GetElementCount() != labels.size()) {
    throw std::runtime_error(folder + ": its module has another number of labels than index_to_name.json");
  }
  const auto temperature = static_cast<float>(read_temperature(folder + "/setup_config.json"));
  const auto probabilities = softmax(outputs[0].GetTensorData<float>(), labels.size(), temperature);
  std::vector<size_t> order(labels.size());
  std::iota(order.begin(), order.end(), 0);
  const auto shown = std::min<size_t>(5, order.size());
  std::partial_sort(order.begin(), order.begin() + shown, order.end(),
                    [&](size_t one, size_t other) { return probabilities[one] > probabilities[other]; });
  for (size_t rank = 0; rank < shown; ++rank) {
    std::cout << probabilities[order[rank]] << "  " << labels[order[rank]] << "\n";
  }
}

int main(int argc, char** argv) { return run_on_ids("classify_onnx", argc, argv, classify); }
