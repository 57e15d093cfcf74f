//! allegro-backup
