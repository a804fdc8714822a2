// Python bindings by the plain C API. The names are upstream's: bindings.BuildInfo, bindings.MpiComm, bindings.executor.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "tensorrt_llm/executor/executor.h"
#include "tensorrt_llm/runtime/runtime.h"

#include <exception>
#include <string>

namespace tensorrt_llm::pg_utils
{
int worldSize();
}

namespace
{
PyObject* answer(PyObject*, PyObject* args)
{
    char const* prompt = nullptr;
    if (!PyArg_ParseTuple(args, "s", &prompt))
    {
        return nullptr;
    }
    try
    {
        std::string const text = tensorrt_llm::executor::answer(prompt);
        return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
    }
    catch (std::exception const& error)
    {
        PyErr_SetString(PyExc_ValueError, error.what());
        return nullptr;
    }
}

PyObject* launch(PyObject*, PyObject* args)
{
    int x = 0;
    if (!PyArg_ParseTuple(args, "i", &x))
    {
        return nullptr;
    }
    std::string text;
    Py_BEGIN_ALLOW_THREADS;
    text = tensorrt_llm::runtime::squareOnGpu(x);
    Py_END_ALLOW_THREADS;
    return PyUnicode_FromString(text.c_str());
}

PyObject* localInit(PyObject*, PyObject*)
{
    // The interpreter's lock is kept, as upstream keeps it: a start that waits stops every thread of the program.
    tensorrt_llm::runtime::initialiseMpi();
    Py_RETURN_NONE;
}

PyMethodDef executorMethods[] = {
    {"answer", answer, METH_VARARGS, "answer(prompt) -> str\n\nThe toy model's answer to 'A * B' or 'A + B'."},
    {nullptr, nullptr, 0, nullptr},
};
PyMethodDef mpiMethods[] = {
    {"local_init", localInit, METH_NOARGS, "local_init()\n\nJoins the MPI world; does nothing in a single-device build."},
    {nullptr, nullptr, 0, nullptr},
};
PyMethodDef moduleMethods[] = {
    {"launch", launch, METH_VARARGS, "launch(x) -> str\n\nx * x computed on the GPU, or a text that begins with 'error: '."},
    {nullptr, nullptr, 0, nullptr},
};
PyModuleDef moduleDefinition
    = {PyModuleDef_HEAD_INIT, "bindings", nullptr, -1, moduleMethods, nullptr, nullptr, nullptr, nullptr};

// Entered in sys.modules under the full name, so that `from tensorrt_llm.bindings.BuildInfo import ...` works.
PyObject* addSubmodule(PyObject* parent, char const* name, PyMethodDef* methods)
{
    char const* const parentName = PyModule_GetName(parent);
    if (parentName == nullptr)
    {
        return nullptr;
    }
    std::string const fullName = std::string(parentName) + "." + name;
    PyObject* const child = PyImport_AddModule(fullName.c_str());
    if (child == nullptr || (methods != nullptr && PyModule_AddFunctions(child, methods) != 0))
    {
        return nullptr;
    }
    Py_INCREF(child);
    return PyModule_AddObject(parent, name, child) == 0 ? child : nullptr;
}
} // namespace

PyMODINIT_FUNC PyInit_bindings()
{
    PyObject* const module = PyModule_Create(&moduleDefinition);
    if (module == nullptr)
    {
        return nullptr;
    }
    PyObject* const buildInfo = addSubmodule(module, "BuildInfo", nullptr);
    bool const complete = buildInfo != nullptr
        && PyModule_AddIntConstant(buildInfo, "ENABLE_MULTI_DEVICE", ENABLE_MULTI_DEVICE) == 0
        && PyModule_AddStringConstant(module, "__version__", tensorrt_llm::executor::version()) == 0
        && PyModule_AddIntConstant(module, "WORLD_SIZE", tensorrt_llm::pg_utils::worldSize()) == 0
        && addSubmodule(module, "MpiComm", mpiMethods) != nullptr
        && addSubmodule(module, "executor", executorMethods) != nullptr;
    if (!complete)
    {
        Py_DECREF(module);
        return nullptr;
    }
    return module;
}
