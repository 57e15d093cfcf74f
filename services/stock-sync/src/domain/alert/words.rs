//! Notices in three languages.

use domain::Language::{self, En, Pl, Ru};

use super::Notice;

/// Title and body.
pub(super) fn of(notice: &Notice, language: Language) -> (String, String) {
    match notice {
        Notice::Shortage { order_id, missing, .. } => (
            match language {
                Ru => format!("Не хватает товара для заказа {order_id}"),
                Pl => format!("Za mało towaru dla zamówienia {order_id}"),
                En => format!("Too little stock for order {order_id}"),
            },
            format!(
                "{missing}. {}",
                match language {
                    Ru => "Ничего не списано. Пополните остаток и повторите операцию, или отмените её.",
                    Pl => "Niczego nie zdjęto ze stanu. Uzupełnij stan i powtórz operację albo ją anuluj.",
                    En => "Nothing was taken. Restock and retry the operation, or cancel it.",
                }
            ),
        ),
        Notice::GivenUp { order_id, reason, .. } => (
            match language {
                Ru => format!("Операции по заказу {order_id} остановлены"),
                Pl => format!("Operacje zamówienia {order_id} wstrzymane"),
                En => format!("The operations of order {order_id} are given up"),
            },
            reason.clone(),
        ),
        Notice::ReturnAfterShipment { order_id, .. } => after_shipment(order_id.as_str(), language),
        Notice::FirstReturned { order_id, .. } => first_returned(order_id.as_str(), language),
        Notice::Refused { order_id, rule, .. } => (refused(order_id.as_str(), language), rule.clone()),
        Notice::TooManyPending { count, limit } => (
            match language {
                Ru => format!("Операций в очереди: {count}"),
                Pl => format!("Operacji w kolejce: {count}"),
                En => format!("Operations under way: {count}"),
            },
            match language {
                Ru => format!("Допустимо {limit}. Проверьте allegro-backup."),
                Pl => format!("Dopuszczalnie {limit}. Sprawdź allegro-backup."),
                En => format!("{limit} are normal. Look at allegro-backup."),
            },
        ),
        Notice::FailureRate { percent, tries, minutes } => (
            match language {
                Ru => format!("Неудачных попыток: {percent} %"),
                Pl => format!("Nieudanych prób: {percent} %"),
                En => format!("Tries that fail: {percent} %"),
            },
            match language {
                Ru => format!("Из {tries} попыток за {minutes} мин. Проверьте доступность allegro-backup."),
                Pl => format!("Z {tries} prób w ciągu {minutes} min. Sprawdź, czy allegro-backup odpowiada."),
                En => format!("Of {tries} tries in {minutes} min. See whether allegro-backup answers."),
            },
        ),
        Notice::Stale { count, hours } => (
            match language {
                Ru => format!("Застрявших операций: {count}"),
                Pl => format!("Operacji, które utknęły: {count}"),
                En => format!("Operations that are stuck: {count}"),
            },
            match language {
                Ru => format!("Они старше {hours} ч. Нужно вмешательство человека."),
                Pl => format!("Mają ponad {hours} godz. Ktoś musi się nimi zająć."),
                En => format!("They are older than {hours} h. Somebody must look at them."),
            },
        ),
        Notice::Ledger { count, example } => (
            match language {
                Ru => format!("Остаток не равен сумме движений: {count}"),
                Pl => format!("Stan nie jest sumą ruchów: {count}"),
                En => format!("Levels that are not the sum of their movements: {count}"),
            },
            example.clone(),
        ),
        Notice::Differences { count } => (
            match language {
                Ru => format!("Расхождений с allegro-backup: {count}"),
                Pl => format!("Różnic względem allegro-backup: {count}"),
                En => format!("Differences from allegro-backup: {count}"),
            },
            match language {
                Ru => "Их видели дважды. Список: GET /stock-sync/discrepancies.".to_owned(),
                Pl => "Widziano je dwa razy. Lista: GET /stock-sync/discrepancies.".to_owned(),
                En => "Two runs have found them. List: GET /stock-sync/discrepancies.".to_owned(),
            },
        ),
        Notice::NoSku { order_id } => without_sku(order_id.as_str(), language),
        Notice::UnknownGood { nomenclature, ekn_code } => unknown_good(nomenclature, ekn_code, language),
        Notice::Fuse { differing, checked } => (
            match language {
                Ru => "Сверка остановлена: слишком много расхождений".to_owned(),
                Pl => "Uzgadnianie wstrzymane: zbyt wiele różnic".to_owned(),
                En => "Reconciliation is held: too much differs".to_owned(),
            },
            match language {
                Ru => format!("Из {checked} заказов расходятся {differing}. Ничего не исправлено."),
                Pl => format!("Z {checked} zamówień różni się {differing}. Niczego nie poprawiono."),
                En => format!("Of {checked} orders {differing} differ. Nothing was put right."),
            },
        ),
    }
}

fn refused(order_id: &str, language: Language) -> String {
    match language {
        Ru => format!("Заказ {order_id} не может быть списан"),
        Pl => format!("Zamówienia {order_id} nie można zdjąć ze stanu"),
        En => format!("Order {order_id} cannot be deducted"),
    }
}

fn after_shipment(order_id: &str, language: Language) -> (String, String) {
    let (title, body) = match language {
        Ru => (
            format!("Отправленный заказ {order_id} отменён"),
            "Вернулся ли товар на склад? Да: POST /stock-sync/retry/{id}. Нет: DELETE /stock-sync/cancel/{id}.",
        ),
        Pl => (
            format!("Wysłane zamówienie {order_id} anulowano"),
            "Czy towar wrócił do magazynu? Tak: POST /stock-sync/retry/{id}. Nie: DELETE /stock-sync/cancel/{id}.",
        ),
        En => (
            format!("Shipped order {order_id} was cancelled"),
            "Did its units return? Yes: POST /stock-sync/retry/{id}. No: DELETE /stock-sync/cancel/{id}.",
        ),
    };
    (title, body.to_owned())
}

fn first_returned(order_id: &str, language: Language) -> (String, String) {
    let (title, body) = match language {
        Ru => (
            format!("Заказ {order_id} впервые увиден уже возвращённым"),
            "Для него ничего не списано. Проверьте остаток.",
        ),
        Pl => (
            format!("Zamówienie {order_id} po raz pierwszy widziano jako zwrócone"),
            "Niczego dla niego nie zdjęto. Sprawdź stan.",
        ),
        En => (
            format!("Order {order_id} was already returned when it was first seen"),
            "Nothing was deducted for it. Check the stock.",
        ),
    };
    (title, body.to_owned())
}

fn without_sku(order_id: &str, language: Language) -> (String, String) {
    let (title, body) = match language {
        Ru => (
            format!("Позиции без SKU, первый заказ: {order_id}"),
            "Для них ничего не списано. Укажите SKU предложения в Allegro, спишите вручную и отмените операции.",
        ),
        Pl => (
            format!("Pozycje bez SKU, pierwsze zamówienie: {order_id}"),
            "Niczego dla nich nie zdjęto. Wpisz SKU oferty w Allegro, zdejmij ręcznie i anuluj operacje.",
        ),
        En => (
            format!("Lines without a SKU, first in order {order_id}"),
            "Nothing was taken for them. Set the offer's SKU at Allegro, take it by hand and cancel the operations.",
        ),
    };
    (title, body.to_owned())
}

fn unknown_good(nomenclature: &str, ekn_code: &str, language: Language) -> (String, String) {
    let (title, body) = match language {
        Ru => (
            format!("Закрыта партия неизвестного товара: {nomenclature} ({ekn_code})"),
            "Она не оприходована. Укажите её SKU: POST /stock-sync/goods.",
        ),
        Pl => (
            format!("Zamknięto partię nieznanego towaru: {nomenclature} ({ekn_code})"),
            "Nie przyjęto jej. Podaj jej SKU: POST /stock-sync/goods.",
        ),
        En => (
            format!("A batch of an unknown thing was closed: {nomenclature} ({ekn_code})"),
            "It was not received. Say what its SKU is: POST /stock-sync/goods.",
        ),
    };
    (title, body.to_owned())
}
