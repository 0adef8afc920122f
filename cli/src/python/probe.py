import json, os, platform, sys, sysconfig

get = sysconfig.get_config_var
folders = [get("LIBDIR"), get("LIBPL"), os.path.join(sys.base_prefix, "lib"), os.path.join(sys.base_prefix, "libs")]
if get("LIBDIR") and get("MULTIARCH"):
    folders.append(os.path.join(get("LIBDIR"), get("MULTIARCH")))
if get("PYTHONFRAMEWORKPREFIX"):
    folders.append(get("PYTHONFRAMEWORKPREFIX"))
names = [get("INSTSONAME"), get("LDLIBRARY")]
if not get("Py_ENABLE_SHARED"):
    names.append(get("LIBRARY"))
places = [os.path.join(folder, name) for folder in folders if folder for name in names if name]
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "description": sys.version.split("\n")[0],
    "executable": sys.executable,
    "implementation": platform.python_implementation(),
    "library": next((place for place in places if os.path.exists(place)), None),
    "header": os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")),
    "free_threaded": bool(get("Py_GIL_DISABLED")),
}))
