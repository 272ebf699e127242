// Classifies one text, given as token ids, with an archive's TorchScript module: no Python, no TorchServe.
//
//   unzip -d archive model_store/pt_classifier.mar
//   scripts/cpp/build.sh classify
//   ./classify archive 101 15315 5572 102
//
// prints the five best labels with their probabilities. Make the ids with the archive's tokenizer.json, for which
// the library `tokenizers` has bindings in most languages. Build it with the PyTorch that made the archive.

#include <torch/script.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "command_line.h"
#include "labels.h"

void classify(const std::string& folder, const std::vector<int64_t>& ids) {
  const c10::InferenceMode no_gradients;
  torch::jit::Module module = torch::jit::load(folder + "/model.pt");
  const auto labels = read_labels(folder + "/index_to_name.json");
  const auto batch = torch::tensor(ids).unsqueeze(0);
  const auto logits = module.forward({batch, torch::ones_like(batch)}).toTensor();
  const auto temperature = read_temperature(folder + "/setup_config.json");
  const auto best = torch::softmax(logits / temperature, 1).topk(std::min<int64_t>(5, labels.size()), 1);
  const auto probabilities = std::get<0>(best).flatten();
  const auto indices = std::get<1>(best).flatten();
  for (int64_t rank = 0; rank < indices.numel(); ++rank) {
    std::cout << probabilities[rank].item<float>() << "  " << labels.at(indices[rank].item<int64_t>()) << "\n";
  }
}

int main(int argc, char** argv) { return run_on_ids("classify", argc, argv, classify); }
