//! Finding the dylib that has the service.
//!
//! Every UDF is a dylib with statics of its own, so a service in a static would be one a dylib: two models in memory. Each of
//! them exports the same symbol, and all take the one of the object that was loaded first.

use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::abi::{BUILD, GetInterface, Interface, SYMBOL};
use crate::owner;

/// The interface of this dylib.
#[unsafe(no_mangle)]
extern "C" fn sightstream_arroyo_interface_v2() -> *const Interface {
    &owner::INTERFACE
}

/// The interface that this dylib's calls go to, from its first call on.
pub fn interface() -> &'static Interface {
    static FOUND: OnceLock<&'static Interface> = OnceLock::new();
    FOUND.get_or_init(|| first_loaded().unwrap_or(&owner::INTERFACE))
}

/// Keeps the dylib that this code is in loaded until the process ends.
///
/// Arroyo unloads a dylib when the last pipeline that uses it is gone. Threads of the service, and calls that are answered late, would
/// then run in code that is not there; and Arroyo's own thread for each subtask is not waited for either.
pub fn stay_loaded() {
    let mut found = libc::Dl_info {
        dli_fname: ptr::null(),
        dli_fbase: ptr::null_mut(),
        dli_sname: ptr::null(),
        dli_saddr: ptr::null_mut(),
    };
    let here = sightstream_arroyo_interface_v2 as *const c_void;
    // SAFETY: `found` may be written to, and the name that it then holds lives as long as the object, which is this one.
    let is_kept = unsafe {
        libc::dladdr(here, &mut found) != 0
            && !found.dli_fname.is_null()
            && !libc::dlopen(
                found.dli_fname,
                libc::RTLD_NOLOAD | libc::RTLD_LAZY | libc::RTLD_NODELETE,
            )
            .is_null()
    };
    IS_KEPT.store(is_kept, Ordering::Release);
}

/// Whether [`stay_loaded`] went well. Nobody can be told where it runs.
static IS_KEPT: AtomicBool = AtomicBool::new(false);

/// Whether the object that this code is in stays loaded. An executable that has it linked in does, though it says no.
pub fn is_kept() -> bool {
    IS_KEPT.load(Ordering::Acquire)
}

/// An object that is loaded into the process.
struct Object {
    name: CString,
    base: usize,
}

/// The interface of the first object that has one of this build.
fn first_loaded() -> Option<&'static Interface> {
    objects().iter().find_map(interface_of)
}

/// All objects, in the order in which they were loaded.
fn objects() -> Vec<Object> {
    /// Adds an object to the `Vec<Object>` that `objects` points at.
    unsafe extern "C" fn add(info: *mut libc::dl_phdr_info, _: usize, objects: *mut c_void) -> c_int {
        // SAFETY: `dl_iterate_phdr` hands over an object that is loaded meanwhile, and our own pointer. A name may be null.
        let (info, objects) = unsafe { (&*info, &mut *objects.cast::<Vec<Object>>()) };
        if !info.dlpi_name.is_null() {
            // SAFETY: it is a text of C.
            let name = unsafe { CStr::from_ptr(info.dlpi_name) };
            // The executable has no name, and is no UDF.
            if !name.is_empty() {
                objects.push(Object {
                    name: name.to_owned(),
                    base: info.dlpi_addr as usize,
                });
            }
        }
        0
    }
    let mut objects = Vec::new();
    // SAFETY: `add` is called before this returns, and `objects` lives until then. Nothing is loaded meanwhile: that needs the
    // lock that this holds, so the names are copied and looked at afterwards.
    unsafe {
        libc::dl_iterate_phdr(Some(add), ptr::from_mut(&mut objects).cast());
    }
    objects
}

/// The interface of `object`, where it has one of this build. The object then stays loaded.
fn interface_of(object: &Object) -> Option<&'static Interface> {
    // SAFETY: nothing is loaded by this, so that no constructor runs. An object that is gone meanwhile gives null.
    let handle = unsafe { libc::dlopen(object.name.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
    if handle.is_null() {
        return None;
    }
    let found = own_interface(object, handle).filter(|interface| {
        // SAFETY: every build of this symbol gives a constant text there.
        unsafe { CStr::from_ptr(interface.build) == BUILD }
    });
    if found.is_none() {
        // SAFETY: the handle is the one from above, and nothing of it is used any more.
        unsafe { libc::dlclose(handle) };
    }
    found
}

/// The interface that `object` itself exports, and not one of the libraries that it needs.
fn own_interface(object: &Object, handle: *mut c_void) -> Option<&'static Interface> {
    // SAFETY: the handle is open.
    let symbol = unsafe { libc::dlsym(handle, SYMBOL.as_ptr()) };
    if symbol.is_null() {
        return None;
    }
    let mut place = libc::Dl_info {
        dli_fname: ptr::null(),
        dli_fbase: ptr::null_mut(),
        dli_sname: ptr::null(),
        dli_saddr: ptr::null_mut(),
    };
    // SAFETY: `place` may be written to.
    let known = unsafe { libc::dladdr(symbol, &mut place) } != 0;
    if !known || place.dli_fbase as usize != object.base {
        return None;
    }
    // SAFETY: the symbol's name stands for this type, and what it gives is a static of an object that stays loaded: its handle
    // is kept open by whoever takes the interface.
    unsafe {
        let get: GetInterface = std::mem::transmute::<*mut c_void, GetInterface>(symbol);
        get().as_ref()
    }
}

/// Runs when the dylib is loaded, before Arroyo calls anything in it: there is no other moment before the first row, since
/// what Arroyo calls first is made by its own macro.
#[used]
#[unsafe(link_section = ".init_array")]
static LOADED: extern "C" fn() = {
    extern "C" fn loaded() {
        stay_loaded();
        // Nobody can be told of a wrong value here: `Plugin::start` does.
        if crate::settings::eager_start().unwrap_or(false) {
            // Whoever loads waits for this function, and other loads wait for both.
            let begun = std::thread::Builder::new().name("sightstream-begin".into()).spawn(|| {
                (interface().begin)();
            });
            // Without the thread the service starts with the first row.
            drop(begun);
        }
    }
    loaded
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_of_a_process_are_told_in_order_and_have_names() {
        let names: Vec<String> = objects()
            .iter()
            .map(|object| object.name.to_string_lossy().into_owned())
            .collect();
        assert!(names.iter().any(|name| name.contains("libc.so")), "{names:?}");
    }

    #[test]
    fn an_object_without_the_symbol_has_no_interface() {
        assert!(objects().iter().all(|object| interface_of(object).is_none()));
        assert!(std::ptr::eq(interface(), &owner::INTERFACE), "so each serves itself");
    }
}
