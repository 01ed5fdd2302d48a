

mod formats;
