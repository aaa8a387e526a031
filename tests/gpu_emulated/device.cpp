// A CUDA device whose memory is the host's, for a torch built without CUDA.
//
// Every operator without a composite kernel goes to the CPU's, on an alias of the same memory.
// Tensors of two devices in one call raise, as they do on a GPU.
#include <ATen/ATen.h>
#include <torch/library.h>
#include <torch/csrc/utils/pybind.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <ATen/native/Resize.h>
#include <ATen/EmptyTensor.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/resize_native.h>
#include <unordered_map>
#include <string>
using namespace c10;

// torch asks this process for its accelerator, which a build without CUDA does not know. The
// library is loaded ahead of torch's, so that this answer is the one that they find.
namespace at::accelerator {
std::optional<c10::DeviceType> getAccelerator(bool) { return DeviceType::CUDA; }
}  // namespace at::accelerator

// One device, one stream, on which everything has already happened.
template <DeviceType kind>
struct Guard final : impl::DeviceGuardImplInterface {
  Device device() const { return Device(kind, 0); }
  Stream stream() const { return Stream(Stream::DEFAULT, device()); }
  DeviceType type() const override { return kind; }
  Device exchangeDevice(Device) const override { return device(); }
  Device getDevice() const override { return device(); }
  void setDevice(Device) const override {}
  void uncheckedSetDevice(Device) const noexcept override {}
  Stream getStream(Device) const noexcept override { return stream(); }
  Stream getNewStream(Device, int) const override { return stream(); }
  Stream exchangeStream(Stream) const noexcept override { return stream(); }
  DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const Stream&, const DeviceIndex, const EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const DeviceIndex) const noexcept override {}
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream&) const override {}
};
using CudaGuard = Guard<DeviceType::CUDA>;
// Autograd asks for "the accelerator", which a build without CUDA knows as PrivateUse1 alone.
using OtherGuard = Guard<DeviceType::PrivateUse1>;
C10_REGISTER_GUARD_IMPL(CUDA, CudaGuard);
C10_REGISTER_GUARD_IMPL(PrivateUse1, OtherGuard);

// For torch.cuda.memory_allocated and its peak.
static std::atomic<int64_t> live{0}, peak{0};
static void count(size_t n) {
  int64_t now = live += n;
  if (now > peak) peak = now;
}
struct Block {
  void* p;
  size_t n;
};
static void release(void* ctx) {
  auto* b = static_cast<Block*>(ctx);
  free(b->p);
  live -= b->n;
  delete b;
}
struct Alloc final : Allocator {
  DataPtr allocate(size_t n) override {
    void* p = n ? aligned_alloc(256, (n + 255) / 256 * 256) : nullptr;
    if (p) memset(p, 0xFF, n);  // NaN in every float type: a read of fresh memory shows
    auto* b = new Block{p, n};
    count(n);
    return {p, b, &release, Device(DeviceType::CUDA, 0)};
  }
  DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* d, const void* s, size_t n) const override { memcpy(d, s, n); }
};
static Alloc the_alloc;
REGISTER_ALLOCATOR(DeviceType::CUDA, &the_alloc);

struct CUDAHooks : at::CUDAHooksInterface {
  CUDAHooks() = default;
  CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(DeviceIndex) const override {}
  DeviceIndex exchangeDevice(DeviceIndex) const override { return 0; }
  DeviceIndex maybeExchangeDevice(DeviceIndex) const override { return 0; }
  DeviceIndex current_device() const override { return 0; }
  int getNumGPUs() const override { return 1; }
  Device getDeviceFromPtr(void*) const override { return Device(DeviceType::CUDA, 0); }
  bool isPinnedPtr(const void*) const override { return false; }
  Allocator* getPinnedMemoryAllocator() const override { return GetAllocator(DeviceType::CPU); }
  Allocator* getCUDADeviceAllocator() const override { return &the_alloc; }
  const at::Generator& getDefaultGenerator(DeviceIndex = -1) const override {
    return at::detail::getDefaultCPUGenerator();
  }
  at::Generator getNewGenerator(DeviceIndex = -1) const override {
    return at::detail::createCPUGenerator();
  }
  void deviceSynchronize(DeviceIndex) const override {}
};
namespace at {
C10_REGISTER_CLASS(CUDAHooksRegistry, CUDAHooks, ::CUDAHooks)
}

struct Hooks1 : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(DeviceIndex) const override {}
  DeviceIndex exchangeDevice(DeviceIndex) const override { return 0; }
  DeviceIndex maybeExchangeDevice(DeviceIndex) const override { return 0; }
  void init() const override {}
};
static Hooks1 hooks1;
static int registered = [] {
  c10::register_privateuse1_backend("emulated");
  at::RegisterPrivateUse1HooksInterface(&hooks1);
  return 1;
}();

static bool on_gpu(const at::Tensor& t) {
  return t.defined() && t.device().type() == DeviceType::CUDA;
}

// The same memory as a tensor of the CPU; it keeps the storage alive.
static at::Tensor to_cpu_alias(const at::Tensor& t) {
  auto storage = t.storage();
  auto data = DataPtr(
      storage.mutable_data(), new Storage(storage),
      [](void* c) { delete static_cast<Storage*>(c); }, Device(DeviceType::CPU));
  auto s = Storage(Storage::use_byte_size_t(), storage.nbytes(), std::move(data),
                   GetAllocator(DeviceType::CPU), true);
  auto out = at::detail::make_tensor<TensorImpl>(std::move(s), DispatchKeySet(DispatchKey::CPU),
                                                 t.dtype());
  out.unsafeGetTensorImpl()->set_sizes_and_strides(t.sizes(), t.strides(), t.storage_offset());
  if (t.is_conj()) out._set_conj(true);
  if (t.is_neg()) out._set_neg(true);
  return out;
}
static at::Tensor to_gpu(const at::Tensor& t, Storage storage) {
  auto out = at::detail::make_tensor<TensorImpl>(std::move(storage),
                                                 DispatchKeySet(DispatchKey::CUDA), t.dtype());
  out.unsafeGetTensorImpl()->set_sizes_and_strides(t.sizes(), t.strides(), t.storage_offset());
  if (t.is_conj()) out._set_conj(true);
  if (t.is_neg()) out._set_neg(true);
  return out;
}
// What a CPU kernel allocated is the device's from here on, and counted so.
static Storage gpu_storage(const Storage& cpu) {
  auto* keep = new Storage(cpu);
  count(cpu.nbytes());
  DataPtr data(
      keep->mutable_data(), keep,
      [](void* c) {
        auto* held = static_cast<Storage*>(c);
        live -= held->nbytes();
        delete held;
      },
      Device(DeviceType::CUDA, 0));
  return Storage(Storage::use_byte_size_t(), cpu.nbytes(), std::move(data), &the_alloc, true);
}

// More memory for a storage that an operator resized.
static void grow(const Storage& s, size_t n) {
  auto fresh = the_alloc.allocate(n);
  if (s.nbytes() && n) memcpy(fresh.get(), s.data(), std::min(n, s.nbytes()));
  s.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(fresh));
  s.unsafeGetStorageImpl()->set_nbytes(n);
}
// Runs an operator on the CPU, and gives what it returns to the device: a tensor that it was given,
// a view of one, or a new one.
static void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const auto nargs = schema.arguments().size(), nret = schema.returns().size();
  auto base = stack->size() - nargs;
  std::unordered_map<TensorImpl*, at::Tensor> back;  // alias -> tensor of the GPU
  std::unordered_map<void*, Storage> storages;       // memory -> storage of the GPU
  bool gpu = false;
  std::string other;
  auto take = [&](const at::Tensor& t) -> at::Tensor {
    if (!t.defined()) return t;
    if (!on_gpu(t)) {
      if (t.device().type() == DeviceType::CPU && t.dim() > 0) other = "cpu";
      return t;
    }
    gpu = true;
    auto a = to_cpu_alias(t);
    back.emplace(a.unsafeGetTensorImpl(), t);
    storages.emplace(t.storage().mutable_data(), t.storage());
    return a;
  };
  std::vector<std::pair<at::Tensor, at::Tensor>> written;
  for (size_t i = 0; i < nargs; ++i) {
    auto& v = (*stack)[base + i];
    if (v.isTensor()) {
      auto t = v.toTensor();
      auto a = take(t);
      if (on_gpu(t)) written.emplace_back(t, a);
      v = a;
    } else if (v.isTensorList()) {
      auto l = v.toTensorVector();
      for (auto& t : l) {
        auto a = take(t);
        if (on_gpu(t)) written.emplace_back(t, a);
        t = a;
      }
      v = c10::List<at::Tensor>(l);
    } else if (v.isOptionalTensorList()) {
      auto l = v.toOptionalTensorVector();
      c10::List<std::optional<at::Tensor>> o;
      for (auto& t : l) o.push_back(t ? std::optional<at::Tensor>(take(*t)) : std::nullopt);
      v = o;
    } else if (v.isDevice()) {
      auto d = v.toDevice();
      if (d.type() == DeviceType::CUDA) {
        v = Device(DeviceType::CPU);
        gpu = true;
      }
    }
  }
  const auto& n = schema.name();
  // Indices may be on the CPU, as on a GPU.
  bool indexes = n.find("aten::index") == 0 || n.find("aten::_index_put") == 0 ||
                 n.find("aten::_unsafe_index") == 0;
  if (gpu && !other.empty() && !indexes)
    TORCH_CHECK(false,
                "Expected all tensors to be on the same device, but found at least two devices, "
                "cuda:0 and cpu! (",
                n, ", emulated)");
  op.redispatchBoxed(DispatchKeySet(DispatchKey::CPU), stack);
  // An output that was resized has another storage or shape.
  for (auto& [t, a] : written) {
    if (t.sizes() != a.sizes() || t.strides() != a.strides()) {
      if (a.storage().data() != t.storage().data()) {
        grow(t.storage(), a.storage().nbytes());
        memcpy(t.storage().mutable_data(), a.storage().data(), a.storage().nbytes());
      }
      t.unsafeGetTensorImpl()->set_sizes_and_strides(a.sizes(), a.strides(), a.storage_offset());
    }
  }
  auto give = [&](const at::Tensor& t) -> at::Tensor {
    if (!t.defined() || t.device().type() != DeviceType::CPU) return t;
    auto found = back.find(t.unsafeGetTensorImpl());
    if (found != back.end()) return found->second;
    auto s = storages.find(t.storage().mutable_data());
    if (s != storages.end() && t.storage().mutable_data()) return to_gpu(t, s->second);
    return to_gpu(t, gpu_storage(t.storage()));
  };
  auto rbase = stack->size() - nret;
  for (size_t i = 0; i < nret; ++i) {
    auto& v = (*stack)[rbase + i];
    if (v.isTensor())
      v = give(v.toTensor());
    else if (v.isTensorList()) {
      auto l = v.toTensorVector();
      for (auto& t : l) t = give(t);
      v = c10::List<at::Tensor>(l);
    }
  }
}

static at::Tensor empty_mf(c10::SymIntArrayRef size, std::optional<ScalarType> dt,
                           std::optional<Layout>, std::optional<Device>, std::optional<bool>,
                           std::optional<MemoryFormat> mf) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &the_alloc,
                                   DispatchKeySet(DispatchKey::CUDA), dtype_or_default(dt), mf);
}
static at::Tensor empty_st(c10::SymIntArrayRef size, c10::SymIntArrayRef stride,
                           std::optional<ScalarType> dt, std::optional<Layout>,
                           std::optional<Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size),
                                           C10_AS_INTARRAYREF_SLOW(stride), &the_alloc,
                                           DispatchKeySet(DispatchKey::CUDA), dtype_or_default(dt));
}
static at::Tensor& copy_(at::Tensor& self, const at::Tensor& src, bool nb) {
  auto s = on_gpu(self) ? to_cpu_alias(self) : self;
  auto o = on_gpu(src) ? to_cpu_alias(src) : src;
  s.copy_(o, false);
  return self;
}
static at::Tensor as_strided(const at::Tensor& t, c10::SymIntArrayRef a, c10::SymIntArrayRef b,
                             std::optional<SymInt> o) {
  return at::native::as_strided_tensorimpl(
      t, C10_AS_INTARRAYREF_SLOW(a), C10_AS_INTARRAYREF_SLOW(b),
      o ? std::optional<int64_t>(o->expect_int()) : std::nullopt);
}
static at::Tensor view(const at::Tensor& t, c10::SymIntArrayRef a) {
  return at::native::view(t, C10_AS_INTARRAYREF_SLOW(a));
}
static at::Tensor reshape_alias(const at::Tensor& t, c10::SymIntArrayRef a, c10::SymIntArrayRef b) {
  return at::native::_reshape_alias(t, C10_AS_INTARRAYREF_SLOW(a), C10_AS_INTARRAYREF_SLOW(b));
}
static const at::Tensor& resize_(const at::Tensor& t, c10::SymIntArrayRef a,
                                 std::optional<MemoryFormat> mf) {
  auto size = C10_AS_INTARRAYREF_SLOW(a);
  auto* impl = t.unsafeGetTensorImpl();
  impl->set_sizes_contiguous(size);
  size_t need = (impl->numel() + impl->storage_offset()) * t.element_size();
  if (need > t.storage().nbytes()) grow(t.storage(), need);
  return t;
}
static at::Tensor& set_storage(at::Tensor& t, Storage s, c10::SymInt off, c10::SymIntArrayRef a,
                               c10::SymIntArrayRef b) {
  auto* impl = t.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(s));
  impl->set_sizes_and_strides(C10_AS_INTARRAYREF_SLOW(a), C10_AS_INTARRAYREF_SLOW(b),
                              off.expect_int());
  return t;
}
static at::Tensor& set_tensor(at::Tensor& t, const at::Tensor& o) {
  return set_storage(t, o.storage(), o.storage_offset(), o.sym_sizes(), o.sym_strides());
}
static at::Tensor& set_st(at::Tensor& t, Storage s) {
  int64_t n = s.nbytes() / t.element_size();
  std::vector<SymInt> a{n}, b{1};
  return set_storage(t, s, 0, a, b);
}
static bool is_set_to(const at::Tensor& a, const at::Tensor& b) {
  return a.storage().unsafeGetStorageImpl() == b.storage().unsafeGetStorageImpl() &&
         a.storage_offset() == b.storage_offset() && a.sizes() == b.sizes() &&
         a.strides() == b.strides();
}
static void record_stream(at::Tensor&, Stream) {}

TORCH_LIBRARY_IMPL(_, CUDA, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}
TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", empty_mf);
  m.impl("empty_strided", empty_st);
  m.impl("copy_", copy_);
  m.impl("as_strided", as_strided);
  m.impl("view", view);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("resize_", resize_);
  m.impl("set_.source_Storage_storage_offset", set_storage);
  m.impl("set_.source_Tensor", set_tensor);
  m.impl("set_.source_Storage", set_st);
  m.impl("is_set_to", is_set_to);
  m.impl("record_stream", record_stream);
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("peak", [] { return peak.load(); });
  m.def("live", [] { return live.load(); });
  m.def("alias", &to_cpu_alias);
  m.def("reset_peak", [] { peak = live.load(); });
}
