// A Python module with nothing in it: the optional modules' place in the build and in the wheel.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)

static PyModuleDef moduleDefinition
    = {PyModuleDef_HEAD_INIT, TEXT(MODULE_NAME), nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC JOIN(PyInit_, MODULE_NAME)()
{
    return PyModule_Create(&moduleDefinition);
}
