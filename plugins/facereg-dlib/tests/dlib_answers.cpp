// Writes dlib's own vectors of chips: what the answers beside this file were made with. No test builds it.
// g++ -O2 -DDLIB_NO_GUI_SUPPORT -I DLIB dlib_answers.cpp DLIB/dlib/all/source.cpp -lpthread -o dlib_answers
// dlib_answers MODEL.dat < chips > vectors: bytes (N, 150, 150, 3) RGB in, float32 (N, 128) out
#include <dlib/dnn.h>
#include <fstream>
#include <iostream>
#include <vector>

using namespace dlib;

constexpr long SIDE = 150;

template <int N, int STRIDE, typename IN> using two = affine<con<N, 3, 3, 1, 1, relu<affine<con<N, 3, 3, STRIDE, STRIDE, IN>>>>>;
template <int N, typename IN> using same = relu<add_prev1<two<N, 1, tag1<IN>>>>;
template <int N, typename IN> using down = relu<add_prev2<avg_pool<2, 2, 2, 2, skip1<tag2<two<N, 2, tag1<IN>>>>>>>;

using stem = max_pool<3, 3, 2, 2, relu<affine<con<32, 7, 7, 2, 2, input_rgb_image_sized<SIDE>>>>>;
using stage1 = same<32, same<32, same<32, stem>>>;
using stage2 = same<64, same<64, same<64, down<64, stage1>>>>;
using stage3 = same<128, same<128, down<128, stage2>>>;
using stage4 = same<256, same<256, down<256, stage3>>>;
using stage5 = down<256, stage4>;
using network = loss_metric<fc_no_bias<128, avg_pool_everything<stage5>>>;

int main(int, char** arguments) {
    network net;
    deserialize(arguments[1]) >> net;
    matrix<rgb_pixel> chip(SIDE, SIDE);
    while (std::cin.read(reinterpret_cast<char*>(&chip(0, 0)), SIDE * SIDE * 3)) {
        const matrix<float, 0, 1> vector = net(chip);
        std::cout.write(reinterpret_cast<const char*>(&vector(0)), vector.size() * sizeof(float));
    }
}
